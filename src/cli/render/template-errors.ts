/** What can be wrong with a `--format` template. Source: Go's text/template, whose words scripts and people know. */
import { TsbuildError } from "../../errors.ts";

export function templateInvalid(why: string): TsbuildError {
  return new TsbuildError({ code: "TEMPLATE_INVALID", what: `template parsing error: template: :1: ${why}` });
}

export function templateFailed(at: string, why: string, hint?: string): TsbuildError {
  return new TsbuildError({
    code: "TEMPLATE_FAILED",
    what: `template: :1: executing "" at <${at}>: ${why}`,
    hint,
  });
}
