/** Names of containers: IDs of 64 hex digits, and the names that people give or that are drawn for them. */
import { randomBelow, randomBytes } from "../../kernel/random.ts";
import type { Brand } from "../../oci/digest.ts";
import { invalidContainerName } from "../container-errors.ts";

export type ContainerId = Brand<"ContainerId">;

const idPattern = /^[0-9a-f]{64}$/;

export function isContainerId(text: string): text is ContainerId {
  return idPattern.test(text);
}

/** The short form is never all digits: it would read as a number, in a compose file or a hostname. */
export function newContainerId(): ContainerId {
  for (;;) {
    const id = randomBytes(32).toString("hex");
    if (/[a-f]/.test(id.slice(0, 12))) return id as ContainerId;
  }
}

export function shortId(id: string): string {
  return id.slice(0, 12);
}

/** Where its control group lies below each hierarchy's root. */
export function cgroupsPath(id: ContainerId, parent = "/tsbuild"): string {
  return `${parent}/${id}`;
}

/**
 * A name without the slash that docker writes before it.
 * @throws {TsbuildError} `INVALID_ARGUMENT`
 */
export function parseContainerName(text: string): string {
  const name = text.startsWith("/") ? text.slice(1) : text;
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name)) throw invalidContainerName(text);
  return name;
}

/** `adjective_surname`; from the second attempt on with a digit, as docker draws them. */
export function randomContainerName(attempt: number): string {
  const name = `${pick(adjectives)}_${pick(surnames)}`;
  return attempt === 0 ? name : `${name}${randomBelow(10)}`;
}

function pick(words: readonly string[]): string {
  return words[randomBelow(words.length)] ?? "";
}

const adjectives = (
  "able amber apt bold brave breezy bright brisk calm candid careful clear clever cosy crisp curious daring deft eager " +
  "early easy fair fine fond frank free fresh gentle glad golden good grand happy hardy hasty honest humble jolly keen " +
  "kind late lively loyal lucid lucky mellow merry mild modest neat nimble noble patient placid polite proud quick " +
  "quiet rapid ready sane sharp silent simple sincere sleek smart snug solid sound spry stable steady still sunny " +
  "swift tidy trusty upbeat vivid warm wise witty zesty"
).split(" ");

/** People to whom this program owes something: of computing, mathematics, networks, and one inventor of the container. */
const surnames = (
  "abel agnesi allen babbage backus bartik borg bernerslee boole cerf chomsky church clarke codd conway cray curry " +
  "dahl darwin dijkstra easley engelbart erdos euclid euler fermat feinler floyd galois gauss germain goldberg " +
  "goldwasser hamilton hamming hejlsberg hilbert hoare holberton hopper huffman jackson jennings johnson kahn kay " +
  "keller kepler kernighan khayyam kleene knuth kowalevski lamarr lamport leibniz liskov lovelace mclean mccarthy " +
  "mccluskey merkle milner mirzakhani napier neumann noether nygaard pascal perlman perlis postel ritchie roberts " +
  "sammet shannon snyder spaerck stallman stroustrup sutherland tanenbaum tarjan thompson torvalds turing wilkes " +
  "williams wing wirth wozniak zuse"
).split(" ");
