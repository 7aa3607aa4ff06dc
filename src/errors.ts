/**
 * The one error class for everything that a user, the disk, the network or the kernel can cause. A defect of ours is a
 * plain `Error` from `assert` or `assertNever` and prints its stack.
 */

/** A closed union, so that the compiler finds each use of a code that was renamed. One section a room, sorted. */
export type ErrorCode =
  // anywhere
  | "ABORTED"
  | "INVALID_ARGUMENT"
  | "NO_SPACE"
  | "PERMISSION_DENIED"
  | "READ_ONLY"
  | "UNSUPPORTED"
  | "USAGE"
  // oci
  | "INVALID_CONFIG"
  | "INVALID_MANIFEST"
  | "INVALID_PLATFORM"
  | "INVALID_REFERENCE"
  // kernel
  | "SYSCALL_FAILED"
  // parser
  | "DOCKERFILE_INVALID"
  // planner
  | "BASE_IMAGE_NOT_FOUND"
  | "CONTEXT_NOT_FOUND"
  | "DOCKERFILE_NOT_FOUND"
  | "EXPANSION_FAILED"
  | "INSTRUCTION_INVALID"
  | "SOURCE_NOT_FOUND"
  | "STAGE_NOT_FOUND"
  // executor
  | "COPY_FAILED"
  | "STEP_FAILED"
  // store
  | "ARCHIVE_INVALID"
  | "CONFLICT"
  | "IMAGE_NOT_FOUND"
  | "STORE_CORRUPT"
  | "STORE_UNAVAILABLE"
  // registry
  | "REGISTRY_DENIED"
  | "REGISTRY_FAILED"
  | "REGISTRY_NOT_FOUND"
  // runtime
  | "COMMAND_NOT_EXECUTABLE"
  | "COMMAND_NOT_FOUND"
  | "CONTAINER_NOT_FOUND"
  | "CONTAINER_STATE"
  | "RUNTIME_FAILED"
  | "USER_NOT_FOUND"
  // cli
  | "ENGINE_FAILED"
  | "TEMPLATE_FAILED"
  | "TEMPLATE_INVALID";

/** Where something went wrong: printed in front of the message. Lines and columns count from 1. */
export type Where =
  | {
      readonly kind: "source";
      readonly file: string;
      readonly line: number;
      readonly column: number;
      readonly endLine: number;
      /** Exclusive. */
      readonly endColumn: number;
      /** The text of `line`, for the excerpt. */
      readonly sourceLine: string;
    }
  | { readonly kind: "path"; readonly path: string }
  | { readonly kind: "url"; readonly url: string }
  | { readonly kind: "flag"; readonly flag: string }
  | { readonly kind: "container"; readonly container: string };

export interface ErrorFields {
  readonly code: ErrorCode;
  readonly what: string;
  readonly where?: Where | undefined;
  readonly hint?: string | undefined;
  readonly cause?: unknown;
}

export class TsbuildError extends Error {
  override readonly name = "TsbuildError";
  readonly code: ErrorCode;
  readonly where: Where | undefined;
  /** One thing to do, as a command where there is one. */
  readonly hint: string | undefined;

  constructor(fields: ErrorFields) {
    super(fields.what, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.code = fields.code;
    this.where = fields.where;
    this.hint = fields.hint;
  }
}

/** Ends a `switch` over a union: the compiler lists each place where a new kind must be handled. */
export function assertNever(value: never): never {
  throw new Error(`unexpected value: ${JSON.stringify(value)}`);
}

/** The errno name (`ENOENT`) of a Node system error, or undefined. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
