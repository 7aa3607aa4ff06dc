/** What can go wrong around a container, one function each. The words are docker's where scripts match on them. */
import { TsbuildError } from "../errors.ts";

// Users ----------------------------------------------------------------------------------------------------------

export const userNotFound = (user: string): TsbuildError =>
  new TsbuildError({
    code: "USER_NOT_FOUND",
    what: `unable to find user ${user}: no matching entries in passwd file`,
    hint: "name a user of the image's /etc/passwd, or give a number",
  });

export const groupNotFound = (group: string): TsbuildError =>
  new TsbuildError({
    code: "USER_NOT_FOUND",
    what: `unable to find group ${group}: no matching entries in group file`,
    hint: "name a group of the image's /etc/group, or give a number",
  });

export const idOutOfRange = (text: string): TsbuildError =>
  new TsbuildError({
    code: "USER_NOT_FOUND",
    what: `invalid user or group ${text}: uids and gids must be in range 0-2147483647`,
  });

export const accountFileTooLarge = (path: string): TsbuildError =>
  new TsbuildError({ code: "USER_NOT_FOUND", what: `${path} of the image is larger than 10 MiB` });
