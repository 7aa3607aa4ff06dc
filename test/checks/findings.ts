/** What checks say about a text, over images that are only configs. */
import { checkDockerfile } from "../../src/checks/check-dockerfile.ts";
import type { BaseImage, CheckOptions } from "../../src/checks/checked-file.ts";
import { linesOf } from "../../src/checks/place.ts";
import type { FindBase } from "../../src/checks/walk-stages.ts";
import type { ContainerConfig } from "../../src/oci/image-config.ts";
import type { Diagnostic, Dockerfile } from "../../src/parser/ast.ts";
import { parse } from "../../src/parser/parse.ts";
import { noOptions } from "../planner/support/graph.ts";

export interface FindingsRequest {
  readonly args?: Readonly<Record<string, string>>;
  readonly options?: Partial<CheckOptions>;
  readonly ignore?: string;
  /** Images that are there, by the name in FROM. */
  readonly images?: Readonly<Record<string, ContainerConfig>>;
  readonly architecture?: string;
  readonly own?: boolean;
  /** Only stages that the target needs. */
  readonly needed?: boolean;
}

interface Findings {
  readonly dockerfile: Dockerfile;
  readonly warnings: readonly Diagnostic[];
}

/** `⏎` separates lines. */
export async function checkText(text: string, request: FindingsRequest = {}): Promise<Findings> {
  const parsed = parse(text.replaceAll("⏎", "\n"), { file: "Dockerfile" });
  const { args = {}, ignore, images = {}, architecture = "amd64" } = request;
  const options: CheckOptions = {
    ...noOptions,
    ...(ignore !== undefined && { ignore: { text: ignore.replaceAll("⏎", "\n"), file: ".dockerignore" } }),
    buildArgs: new Map(Object.entries(args)),
    ...request.options,
  };
  const findBase: FindBase = async (name): Promise<BaseImage | undefined> => {
    const config = images[name];
    return config === undefined ? undefined : { os: "linux", architecture, config };
  };
  const allStages = request.needed !== true;
  const warnings = await checkDockerfile({ parsed, options, findBase, allStages, withOwn: request.own ?? false });
  return { dockerfile: parsed.dockerfile, warnings };
}

/** `3 StageNameCasing: Stage name …`: the first line as BuildKit counts, the check, the sentence. */
export async function findingsOf(text: string, request: FindingsRequest = {}): Promise<readonly string[]> {
  const { dockerfile, warnings } = await checkText(text, request);
  return warnings.map((warning) => `${linesOf(dockerfile, warning).start} ${warning.code}: ${warning.message}`);
}

/** The same without the sentences. */
export async function namesOf(text: string, request: FindingsRequest = {}): Promise<readonly string[]> {
  return (await findingsOf(text, request)).map((finding) => finding.slice(0, finding.indexOf(":")));
}
