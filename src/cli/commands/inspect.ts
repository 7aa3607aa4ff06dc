/** `tsbuild inspect`: containers, then images, as JSON or through a template. */
import type { Command } from "commander";
import { TsbuildError } from "../../errors.ts";
import { nearestWord } from "../../nearest-word.ts";
import { familiarName, familiarReference } from "../../oci/reference.ts";
import type { Store, StoredImage, StoredIndex } from "../../store/store.ts";
import type { CommandContext } from "../command.ts";
import { imageJson } from "../image-json.ts";
import { renderError } from "../render/error.ts";
import { compileTemplate, unescapeFormat } from "../render/template.ts";
import { templateJson } from "../render/template-functions.ts";
import { invalidFlagValue } from "../usage-errors.ts";

interface Options {
  readonly format?: string;
  readonly type?: string;
  readonly size?: boolean;
}

export function define(command: Command): void {
  command
    .usage("[OPTIONS] NAME|ID [NAME|ID...]")
    .argument("<name...>", "containers and images, by name, ID or the beginning of one")
    .option("-f, --format <format>", "json, or a template such as {{.Config.Cmd}}")
    .option("-s, --size", "with the sizes of containers")
    .option("--type <type>", `only this kind: ${Object.keys(finders).join(", ")}`);
}

export async function run(command: Command, context: CommandContext): Promise<number> {
  const options = command.opts<Options>();
  const kinds = kindsOf(options.type);
  const print = options.format === undefined || options.format === "json" ? undefined : options.format;
  const template = print === undefined ? undefined : compileTemplate(unescapeFormat(print));
  const store = context.openStore();
  const found: unknown[] = [];
  let code = 0;
  for (const name of command.args) {
    const object = await findObject(store, name, kinds, options.size === true);
    if (object === undefined) {
      context.stderr.write(renderError(noSuchObject(name, options.type), { debug: false, stream: context.stderr }));
      code = 1;
    } else if (template === undefined) {
      found.push(object);
    } else {
      context.stdout.write(`${template(object)}\n`);
    }
  }
  if (template === undefined) {
    const text = options.format === "json" ? templateJson(found) : JSON.stringify(found, undefined, 4);
    context.stdout.write(`${text}\n`);
  }
  return code;
}

type Finder = (store: Store, name: string, withSize: boolean) => Promise<unknown>;

/** In the order they are tried. */
const finders: Readonly<Record<string, Finder>> = {
  container: async (store, name, withSize) => {
    const [{ findContainer }, { inspectContainer }] = await Promise.all([
      import("../../runtime/containers/container-folder.ts"),
      import("../../runtime/containers/inspect-container.ts"),
    ]);
    try {
      return inspectContainer(store, findContainer(store, name).folder.id, { size: withSize });
    } catch (error) {
      if (error instanceof TsbuildError && error.code === "CONTAINER_NOT_FOUND") return undefined;
      throw error;
    }
  },
  image: async (store, name) => {
    const image = store.images.find(name);
    return image === undefined ? undefined : imageJson(store, image, indexNamed(store, image, name));
  },
};

/** The index that this name of the image stands for. */
function indexNamed(store: Store, image: StoredImage, name: string): StoredIndex | undefined {
  const reference = image.references.find((own) => [familiarReference(own), familiarName(own)].includes(name));
  return reference === undefined ? undefined : store.images.index(reference);
}

function kindsOf(type: string | undefined): readonly Finder[] {
  if (type === undefined) return Object.values(finders);
  const finder = Object.hasOwn(finders, type) ? finders[type] : undefined;
  if (finder === undefined) {
    const near = nearestWord(type, Object.keys(finders));
    const why = near === undefined ? `one of ${Object.keys(finders).join(", ")}` : `did you mean ${near}?`;
    throw invalidFlagValue("--type", type, why);
  }
  return [finder];
}

async function findObject(store: Store, name: string, kinds: readonly Finder[], withSize: boolean): Promise<unknown> {
  for (const find of kinds) {
    const object = await find(store, name, withSize);
    if (object !== undefined) return object;
  }
  return undefined;
}

function noSuchObject(name: string, type: string | undefined): TsbuildError {
  const what = type === undefined ? `no such object: ${name}` : `no such ${type}: ${name}`;
  return new TsbuildError({ code: "IMAGE_NOT_FOUND", what });
}
