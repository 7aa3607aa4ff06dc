/** What can go wrong around a container, one function each. The words are docker's where scripts match on them. */
import { TsbuildError } from "../errors.ts";
import { nearestWord } from "../nearest-word.ts";

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

// What is needed -------------------------------------------------------------------------------------------------

export const containersNeedRoot = (): TsbuildError =>
  new TsbuildError({ code: "UNSUPPORTED", what: "running containers needs root for now", hint: "run it with sudo" });

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
export const wrongContainerState = (what: string, hint?: string): TsbuildError =>
  new TsbuildError({ code: "CONTAINER_STATE", what, hint });

export const containerIsRunning = (container: string): TsbuildError =>
  wrongContainerState(`container ${container} is already running`);

export const monitorGone = (container: string): TsbuildError =>
  wrongContainerState(
    `nobody serves the output of container ${container}: its monitor is gone`,
    `see what was written so far: tsbuild logs ${container.slice(0, 12)}`,
  );

// Volumes and mounts ---------------------------------------------------------------------------------------------

export const invalidVolumeName = (name: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `${JSON.stringify(name)} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
  });

export const volumeNotFound = (name: string): TsbuildError =>
  new TsbuildError({ code: "INVALID_ARGUMENT", what: `no such volume: ${name}` });

export const bindSourceMissing = (source: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `invalid mount config for type "bind": bind source path does not exist: ${source}`,
    hint: `make it first, or use -v, which makes a folder: mkdir -p ${source}`,
  });

export const invalidMountDestination = (destination: string, why: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `invalid mount destination ${JSON.stringify(destination)}: ${why}`,
  });

export const duplicateMountPoint = (destination: string): TsbuildError =>
  new TsbuildError({ code: "INVALID_ARGUMENT", what: `Duplicate mount point: ${destination}` });

// Creating -------------------------------------------------------------------------------------------------------

export const noCommand = (image: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: "no command specified",
    hint: `${image} has neither CMD nor ENTRYPOINT: write a command after it`,
  });

export const invalidWorkingDir = (path: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `the working directory '${path}' is invalid, it needs to be an absolute path`,
  });

export const invalidSecurityOption = (option: string): TsbuildError =>
  new TsbuildError({
    code: "UNSUPPORTED",
    what: `invalid --security-opt: ${JSON.stringify(option)}`,
    hint: "there are no-new-privileges, seccomp=unconfined, seccomp=builtin and systempaths=unconfined",
  });

// Signals --------------------------------------------------------------------------------------------------------

export const invalidSignal = (text: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `invalid signal: ${text}`,
    hint: "a signal is a name such as KILL or SIGHUP, or a number",
  });

export const notRunningToKill = (container: string): TsbuildError =>
  wrongContainerState(`cannot kill container: ${container}: container ${container} is not running`);

export const couldNotKill = (container: string): TsbuildError =>
  wrongContainerState(`container ${container} is still there 10 s after SIGKILL`);

export const containerNotRunning = (container: string): TsbuildError =>
  wrongContainerState(`container ${container} is not running`, `tsbuild start ${container.slice(0, 12)}`);

export const containerIsPaused = (container: string): TsbuildError =>
  wrongContainerState(`container ${container} is already paused`);

export const containerNotPaused = (container: string): TsbuildError =>
  wrongContainerState(`container ${container} is not paused`);

export const freezerMissing = (): TsbuildError =>
  new TsbuildError({ code: "UNSUPPORTED", what: "pausing needs a cgroup with a freezer, and this machine gives none" });

export const freezingFailed = (): TsbuildError =>
  new TsbuildError({ code: "RUNTIME_FAILED", what: "the container's processes did not stop within 10 s" });

export const containerPausedForExec = (container: string): TsbuildError =>
  wrongContainerState(
    `Container ${container} is paused, unpause the container before exec`,
    `tsbuild unpause ${container.slice(0, 12)}`,
  );

export const invalidDetachKeys = (text: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `invalid detach keys (${text}) provided`,
    hint: "keys separated by commas: a letter, or ctrl- and one of a-z @ [ \\ ] ^ _",
  });

export const noSuchImage = (name: string): TsbuildError =>
  new TsbuildError({ code: "IMAGE_NOT_FOUND", what: `No such image: ${name}`, hint: `tsbuild pull ${name}` });

export const recordUnreadable = (container: string): TsbuildError =>
  wrongContainerState(
    `the record of container ${container} cannot be read`,
    `all that can be done is to remove it: tsbuild rm ${container.slice(0, 12)}`,
  );

export const notOnATerminal = (): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: "cannot attach stdin to a TTY-enabled container because stdin is not a terminal",
    hint: "leave out -t",
  });

export const cannotStartPaused = (): TsbuildError =>
  wrongContainerState("cannot start a paused container, try unpause instead");

export const cannotAttach = (status: string): TsbuildError =>
  wrongContainerState(
    status === "paused"
      ? "cannot attach to a paused container, unpause it first"
      : status === "restarting"
        ? "cannot attach to a restarting container, wait until it is running"
        : "cannot attach to a stopped container, start it first",
  );

export const cannotRemoveRunning = (container: string, status: string): TsbuildError =>
  wrongContainerState(
    `cannot remove container "${container}": container is ${status}: stop the container before removing or force remove`,
    `tsbuild rm -f ${container.slice(0, 12)}`,
  );

export const noLog = (): TsbuildError =>
  new TsbuildError({
    code: "UNSUPPORTED",
    what: 'configured logging driver does not support reading: it is "none"',
  });

export const containerBusy = (container: string): TsbuildError =>
  wrongContainerState(`container ${container} has just ended; try again`);

// Copying --------------------------------------------------------------------------------------------------------

const sentences: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  ELOOP: "too many levels of symbolic links",
  ENOENT: "no such file or directory",
  ENOTDIR: "not a directory",
  EROFS: "read-only file system",
  EXDEV: "it leads out of the container",
};

/** `errnoText`: the name of errno. */
export const copyPathFailed = (path: string, errnoText: string): TsbuildError =>
  new TsbuildError({
    code: errnoText === "EROFS" ? "READ_ONLY" : "COPY_FAILED",
    what: `${path}: ${sentences[errnoText] ?? errnoText}`,
  });

export const copyOntoFolder = (path: string): TsbuildError =>
  new TsbuildError({ code: "COPY_FAILED", what: `cannot overwrite directory "${path}" with a non-directory` });

export const folderOntoFile = (path: string): TsbuildError =>
  new TsbuildError({ code: "COPY_FAILED", what: `cannot overwrite non-directory "${path}" with a directory` });

export const destinationNotAFolder = (path: string): TsbuildError =>
  new TsbuildError({ code: "COPY_FAILED", what: `destination "${path}" must be a directory` });

export const copyDirectoryToFile = (path: string): TsbuildError =>
  new TsbuildError({ code: "COPY_FAILED", what: `cannot copy a directory to the file "${path}"` });

export const rootfsReadOnly = (): TsbuildError =>
  new TsbuildError({ code: "READ_ONLY", what: "container rootfs or the mount at that path is marked read-only" });

export const imageGone = (name: string): TsbuildError =>
  new TsbuildError({ code: "IMAGE_NOT_FOUND", what: `the container's image ${name} is not in the store any more` });

// Devices --------------------------------------------------------------------------------------------------------

export function deviceNotRegistered(name: string, known: readonly string[], problems: readonly string[]): TsbuildError {
  const near = nearestWord(name, known);
  const hint =
    near !== undefined
      ? `did you mean ${near}?`
      : (problems[0] ??
        (known.length > 0 ? `there are ${known.join(", ")}` : "describe it in /etc/cdi (CDI, as JSON)"));
  return new TsbuildError({ code: "INVALID_ARGUMENT", what: `required device "${name}" is not registered`, hint });
}

export const noSuchDevice = (path: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `error gathering device information while adding custom device "${path}": no such device`,
    where: { kind: "flag", flag: "--device" },
  });

export const deviceNeedsMore = (name: string, what: string, file: string): TsbuildError =>
  new TsbuildError({
    code: "UNSUPPORTED",
    what: `the device ${name} needs what tsbuild does not do: ${what}`,
    where: { kind: "path", path: file },
    hint: "nodes, mounts, variables, groups and hooks of a device are supported",
  });

export const deviceInvalid = (name: string, why: string, file: string): TsbuildError =>
  new TsbuildError({
    code: "INVALID_ARGUMENT",
    what: `cannot give the device ${name}: ${why}`,
    where: { kind: "path", path: file },
  });
