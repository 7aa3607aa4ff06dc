/** The programmatic API: what the CLI itself uses. The only file that re-exports. */
export { type ErrorCode, TsbuildError, type Where } from "./errors.ts";
