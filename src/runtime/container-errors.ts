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

// Names and states -----------------------------------------------------------------------------------------------

export const invalidContainerName = (name: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
    hint: "a name has at least two characters",
  });

export const containerNameTaken = (name: string, id: string): TsbuildError =>
  new TsbuildError({
    code: "CONFLICT",
    what: `Conflict. The container name "/${name}" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`,
    hint: `tsbuild rm ${name}, or tsbuild rename ${name} NEW`,
  });

export const containerNotFound = (text: string, near: string | undefined): TsbuildError =>
  new TsbuildError({
    code: "CONTAINER_NOT_FOUND",
    what: `No such container: ${text}`,
    hint: near === undefined ? "see what there is: tsbuild ps -a" : `did you mean ${near}?`,
  });

export const containerPrefixAmbiguous = (prefix: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `multiple IDs found with provided prefix: ${prefix}`,
    hint: "give more digits of the ID",
  });

/** The container is in a state in which this cannot be done. */
export const wrongContainerState = (what: string, container: string, hint?: string): TsbuildError =>
  new TsbuildError({ code: "CONTAINER_STATE", what, where: { kind: "container", container }, hint });
