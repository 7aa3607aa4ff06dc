/** What `plan` and `cache why` have in common: from the build's flags to the plan, with nothing built or pulled. */
import type { Command } from "commander";
import type { FindBase } from "../checks/walk-stages.ts";
import { hostPlatform } from "../oci/platform.ts";
import type { Plan } from "../planner/plan.ts";
import { defineBuildFlags, readBuildRequest } from "./build-flags.ts";
import type { CommandContext } from "./command.ts";
import { diagnosticLines } from "./render/diagnostic.ts";
import { renderPlan } from "./render/plan.ts";
import { imageResolver } from "./resolve-base-image.ts";

export function definePlanFlags(command: Command): void {
  defineBuildFlags(command);
  command.option("--json", "the plan as one JSON object");
}

/** @throws {TsbuildError} what a build would reject before it runs anything */
export async function printPlan(
  command: Command,
  context: CommandContext,
  { showNearest }: { readonly showNearest: boolean },
): Promise<number> {
  const { json = false } = command.opts<{ json?: boolean }>();
  const { plan, file } = await requestedPlan(command, context);
  const text = json ? `${JSON.stringify(plan)}\n` : renderPlan(plan, { file, nowMs: context.now(), showNearest });
  context.stdout.write(text);
  return 0;
}

interface RequestedPlan {
  readonly plan: Plan;
  /** As places are shown: `Dockerfile`. */
  readonly file: string;
}

/** Warnings and notes go to stderr. */
async function requestedPlan(command: Command, context: CommandContext): Promise<RequestedPlan> {
  using request = await readBuildRequest(command, context);
  const { options } = request;
  const note = (text: string): void => void context.stderr.write(`${text}\n`);
  for (const text of request.notes) note(text);
  const { parseRemembered } = await import("../planner/remembered-parse.ts");
  const { boundGraph } = await import("../checks/bound-graph.ts");
  const { storedBase } = await import("../checks/stored-bases.ts");
  const { BuildContexts } = await import("../planner/build-contexts.ts");
  const { planBuild } = await import("../planner/plan-build.ts");
  const store = context.openStore();
  const parsed = await parseRemembered(options.dockerfile, store.memo);
  const resolveImage = imageResolver({ context, store, pull: false, offline: true, onNote: note });
  const findBase: FindBase = async (name) => storedBase(store, name);
  using contexts = new BuildContexts(options, store);
  const graph = await boundGraph({
    parsed,
    options,
    resolveImage,
    findBase,
    resolveTime: async (source, where) =>
      (await import("../executor/source-time.ts")).timesIn(contexts, context.signal)(source, where),
  });
  // What checks have to say is `check`'s and the build's to tell.
  const warnings = [...parsed.diagnostics, ...graph.warnings].filter(({ code }) => code !== "NoEmptyContinuation");
  if (warnings.length > 0)
    context.stderr.write(`${diagnosticLines(parsed.dockerfile, warnings, context.stderr).join("\n")}\n`);
  const { cacheSources } = request.output;
  const offers =
    cacheSources.length === 0
      ? []
      : await (await import("./external-cache/import-cache.ts")).importCaches(cacheSources, {
          store,
          context,
          platform: options.platforms[0] ?? hostPlatform(),
          onNote: note,
        });
  const { signal } = context;
  const plan = await planBuild(graph, { store, offers, contexts, now: context.now(), signal }).catch(
    async (error: unknown) => {
      const { withAllMissing } = await import("../planner/missing-sources.ts");
      throw await withAllMissing(error, { dockerfile: parsed.dockerfile, graph, contexts, signal });
    },
  );
  return { plan, file: options.dockerfile.file };
}
