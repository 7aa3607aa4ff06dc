/**
 * Go templates, the part that `--format` needs. A template is compiled once and applied to rows or to
 * the objects of `inspect`: plain objects, whose keys are the fields. Nothing of a row is printed when it fails.
 */
import { nearestWord } from "../../nearest-word.ts";
import { formatValue, sortedEntries } from "./go-format.ts";
import { templateFailed } from "./template-errors.ts";
import { isTrue, templateFunctions } from "./template-functions.ts";
import { type Command, type Node, type Operand, type Pipe, parseTemplate, type Template } from "./template-parser.ts";

export interface CompiledTemplate {
  /** @throws {TsbuildError} `TEMPLATE_FAILED` */
  (data: unknown): string;
  /** The template applied to column titles: every field prints its own, `.Label "k"` prints k. */
  heading(titles: Readonly<Record<string, string>>): string;
}

/** @throws {TsbuildError} `TEMPLATE_INVALID` */
export function compileTemplate(text: string): CompiledTemplate {
  const template = parseTemplate(text, (name) => name === "and" || name === "or" || templateFunctions.has(name));
  const apply = (data: unknown): string => new Evaluation(template, false).run(data);
  return Object.assign(apply, {
    heading: (titles: Readonly<Record<string, string>>) => new Evaluation(template, true).run(titles),
  });
}

/** `\t` and `\n` as a shell hands them over become what they mean. */
export function unescapeFormat(format: string): string {
  return format.replaceAll("\\t", "\t").replaceAll("\\n", "\n");
}

type Variable = { readonly name: string; value: unknown };

/** How a list of nodes ended. */
type Outcome = "done" | "break" | "continue";

class Evaluation {
  readonly #template: Template;
  /** Fields are column titles, functions on them leave them as they are. */
  readonly #isHeading: boolean;
  #output = "";
  #variables: Variable[] = [];

  constructor(template: Template, isHeading: boolean) {
    this.#template = template;
    this.#isHeading = isHeading;
  }

  run(data: unknown): string {
    this.#variables = [{ name: "$", value: data }];
    this.#list(this.#template.nodes, data);
    return this.#output;
  }

  #list(nodes: readonly Node[], dot: unknown): Outcome {
    for (const node of nodes) {
      const outcome = this.#node(node, dot);
      if (outcome !== "done") return outcome;
    }
    return "done";
  }

  #node(node: Node, dot: unknown): Outcome {
    switch (node.kind) {
      case "text":
        this.#output += node.text;
        return "done";
      case "action": {
        const value = this.#pipe(node.pipe, dot);
        if (node.pipe.variables.length === 0) this.#output += formatValue(value, "<no value>");
        return "done";
      }
      case "if":
      case "with":
        return this.#scoped(() => {
          const value = this.#pipe(node.pipe, dot);
          if (!isTrue(value)) return this.#list(node.otherwise, dot);
          return this.#list(node.body, node.kind === "with" ? value : dot);
        });
      case "range":
        return this.#scoped(() => this.#range(node, dot));
      case "template":
        this.#call(node.name, node.pipe === undefined ? undefined : this.#pipe(node.pipe, dot));
        return "done";
      default:
        return node.kind;
    }
  }

  #scoped(body: () => Outcome): Outcome {
    const size = this.#variables.length;
    try {
      return body();
    } finally {
      this.#variables.length = size;
    }
  }

  #range(node: Extract<Node, { kind: "range" }>, dot: unknown): Outcome {
    const size = this.#variables.length;
    const value = this.#pipe({ ...node.pipe, variables: [] }, dot);
    const items = rangeItems(value);
    if (items === undefined) throw templateFailed(node.pipe.source, `range can't iterate over ${formatValue(value)}`);
    if (items.length === 0) return this.#list(node.otherwise, dot);
    const [first, second] = node.pipe.variables;
    for (const [key, item] of items) {
      this.#variables.length = size;
      if (first !== undefined) this.#assign(first, second === undefined ? item : key, node.pipe.declares);
      if (second !== undefined) this.#assign(second, item, node.pipe.declares);
      if (this.#list(node.body, item) === "break") break;
    }
    return "done";
  }

  #call(name: string, data: unknown): void {
    const nodes = this.#template.definitions.get(name);
    if (nodes === undefined) throw templateFailed(name, `template "${name}" not defined`);
    const outer = this.#variables;
    if (outer.length > 1000) throw templateFailed(name, "exceeded maximum template depth");
    this.#variables = [...outer, { name: "$", value: data }];
    this.#list(nodes, data);
    this.#variables = outer;
  }

  #assign(name: string, value: unknown, declares: boolean): void {
    const existing = declares ? undefined : this.#variables.findLast((variable) => variable.name === name);
    if (existing === undefined) this.#variables.push({ name, value });
    else existing.value = value;
  }

  #pipe(pipe: Pipe, dot: unknown): unknown {
    let value: unknown;
    for (const [index, command] of pipe.commands.entries()) {
      value = this.#command(command, dot, index === 0 ? [] : [value]);
    }
    for (const name of pipe.variables) this.#assign(name, value, pipe.declares);
    return value;
  }

  /** `piped` is the value of the command before, which becomes the last argument. */
  #command(command: Command, dot: unknown, piped: readonly unknown[]): unknown {
    const [callee, ...operands] = command.operands;
    if (callee.kind === "function") {
      if (callee.name === "and" || callee.name === "or") return this.#shortCircuit(callee.name, operands, dot, piped);
      const values = [...operands.map((operand) => this.#operand(operand, dot, [])), ...piped];
      return this.#fields(this.#function(callee.name, values, command.source), callee, []);
    }
    const values = operands.map((operand) => this.#operand(operand, dot, []));
    return this.#operand(callee, dot, [...values, ...piped]);
  }

  #shortCircuit(name: "and" | "or", operands: readonly Operand[], dot: unknown, piped: readonly unknown[]): unknown {
    let value: unknown;
    for (const operand of operands) {
      value = this.#operand(operand, dot, []);
      if (isTrue(value) === (name === "or")) return value;
    }
    return piped.length > 0 ? piped[0] : value;
  }

  #function(name: string, values: readonly unknown[], source: string): unknown {
    // A title goes through `json`, `upper` and the like unchanged.
    if (this.#isHeading && !headingFunctions.has(name)) return values.find((value) => typeof value === "string") ?? "";
    try {
      return templateFunctions.get(name)?.(...values);
    } catch (error) {
      throw templateFailed(source, `error calling ${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  #operand(operand: Operand, dot: unknown, values: readonly unknown[]): unknown {
    switch (operand.kind) {
      case "dot":
        return this.#fields(dot, operand, values);
      case "variable":
        return this.#fields(
          this.#variables.findLast((variable) => variable.name === operand.name)?.value,
          operand,
          values,
        );
      case "literal":
        return operand.value;
      case "function":
        return this.#fields(
          this.#command({ operands: [operand], source: operand.source }, dot, []),
          { ...operand, fields: [] },
          [],
        );
      case "pipe":
        return this.#fields(this.#pipe(operand.pipe, dot), operand, values);
    }
  }

  /** Follows `.A.B`. The last one may be a method, which takes the values. */
  #fields(start: unknown, operand: Operand, values: readonly unknown[]): unknown {
    let value = start;
    let path = "";
    for (const [index, name] of operand.fields.entries()) {
      const container = path;
      path = name;
      const member = this.#isHeading ? titleOf(value, name) : memberOf(value, name, container, operand.source);
      const isLast = index === operand.fields.length - 1;
      value = typeof member === "function" ? member(...(isLast ? values : [])) : member;
    }
    return value;
  }
}

/** Functions whose result on titles is still right: they build text around them. */
const headingFunctions: ReadonlySet<string> = new Set(["print", "printf", "println", "eq", "ne", "not", "len"]);

function titleOf(titles: unknown, name: string): unknown {
  if (typeof titles !== "object" || titles === null) return name.toUpperCase();
  const title: unknown = Object.hasOwn(titles, name) ? Reflect.get(titles, name) : undefined;
  if (title !== undefined) return title;
  if (name === "Label") return (key: unknown) => String(key).replace(/[-_]/g, " ");
  return name.replace(/(?<=[a-z])(?=[A-Z])/g, " ").toUpperCase();
}

/** Fields of `inspect` whose objects are maps in Go: a key they lack is no mistake. */
const mapFields: ReadonlySet<string> = new Set([
  "Annotations",
  "Containers",
  "DriverOpts",
  "ExposedPorts",
  "Labels",
  "Networks",
  "Options",
  "PortBindings",
  "Ports",
  "Sysctls",
  "Tmpfs",
  "Volumes",
]);

/** Fields that Go's JSON leaves out when they are empty, and that `{{if .State.Health}}` can still ask for. */
const emptyFields: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ["Descriptor", undefined],
  ["ExposedPorts", undefined],
  ["Health", undefined],
  ["Healthcheck", undefined],
  ["HostConfig", undefined],
  ["NetworkSettings", undefined],
  ["Orphaned", false],
  ["Shell", undefined],
  ["StopSignal", ""],
  ["StopTimeout", undefined],
]);

function memberOf(value: unknown, name: string, container: string, source: string): unknown {
  if (value === undefined || value === null) {
    throw templateFailed(source, `nil data; no entry for key "${name}"`);
  }
  if (value instanceof Map) return value.get(name);
  if (typeof value !== "object" || Array.isArray(value)) {
    throw templateFailed(
      source,
      `can't evaluate field ${name} in type ${Array.isArray(value) ? "list" : typeof value}`,
    );
  }
  if (Object.hasOwn(value, name)) return Reflect.get(value, name);
  if (emptyFields.has(name) || isMap(value, container)) return emptyFields.get(name);
  const near = nearestWord(name, Object.keys(value));
  throw templateFailed(
    source,
    `can't evaluate field ${name} in type ${container === "" ? "object" : container}`,
    near === undefined ? undefined : `did you mean .${near}?`,
  );
}

/** A Go map rather than a struct: by its name, or because a key could not be a field. */
function isMap(value: object, container: string): boolean {
  const keys = Object.keys(value);

  return mapFields.has(container) || keys.length === 0 || keys.some((key) => !/^[A-Z][A-Za-z0-9]*$/.test(key));
}

function rangeItems(value: unknown): readonly (readonly [unknown, unknown])[] | undefined {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value.map((item, index): readonly [unknown, unknown] => [index, item]);
  if (Number.isInteger(value)) return Array.from({ length: Number(value) }, (_, index) => [index, index]);
  if (typeof value === "object") return sortedEntries(value);
  return undefined;
}
