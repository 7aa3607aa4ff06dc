import { TsbuildError } from "../../src/errors.ts";

/** The TsbuildError that `body` throws. Fails when it throws nothing or something else. */
export function caught(body: () => unknown): TsbuildError {
  try {
    body();
  } catch (error) {
    return ours(error);
  }
  throw new Error("nothing was thrown");
}

function ours(error: unknown): TsbuildError {
  if (error instanceof TsbuildError) return error;
  throw error;
}
