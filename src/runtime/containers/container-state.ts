/**
 * What happened to a container, as its supervisor last wrote it (`state.json`, replaced by rename), and what is true
 * now: a supervisor can be killed and a machine restarted, so `observe` compares the record with the processes.
 */
import { existsSync, readFileSync } from "node:fs";
import { errnoOf } from "../../errors.ts";
import { readExitFile } from "../exit-file.ts";
import { logTimestamp } from "../logs.ts";
import type { ContainerFolder } from "./container-folder.ts";
import { isAlive, isOfThisBoot, type ProcessIdentity } from "./process-identity.ts";
import { replaceText } from "./replace-text.ts";

export type ContainerStatus = "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead";

export interface StateRecord {
  readonly status: "created" | "running" | "restarting" | "exited";
  /** The container's pid 1. */
  readonly process: ProcessIdentity | undefined;
  /** Who owns its stdio, log and exit status: a monitor, or the CLI of a `run` in the foreground. */
  readonly supervisor: ProcessIdentity | undefined;
  /** RFC 3339; `never` when it did not happen. */
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly exitCode: number;
  /** Why it could not be started, or ended without a known status. */
  readonly error: string;
  readonly oomKilled: boolean;
  readonly restartCount: number;
  /** Of its own on the bridge; empty elsewhere. */
  readonly address: string;
}

/** What is true now. */
export interface ContainerState extends Omit<StateRecord, "status"> {
  readonly status: ContainerStatus;
  /** The process lives and its supervisor does not: nobody reads its output or will learn its exit code. */
  readonly orphaned: boolean;
}

export const never = "0001-01-01T00:00:00Z";

export const initialState: StateRecord = {
  status: "created",
  process: undefined,
  supervisor: undefined,
  startedAt: never,
  finishedAt: never,
  exitCode: 0,
  error: "",
  oomKilled: false,
  restartCount: 0,
  address: "",
};

/** docker's code for a status that nobody could learn: the machine went down. */
const lostCode = 255;
/** The process ended after its supervisor had been killed. */
const unsupervisedCode = 137;

export function writeState(folder: ContainerFolder, state: StateRecord): void {
  replaceText(folder.stateFile, JSON.stringify(state));
}

export function readStateRecord(folder: ContainerFolder): StateRecord | undefined {
  try {
    // Only we write this file, whole, by rename; one that does not parse is damage, and the container is dead.
    return JSON.parse(readFileSync(folder.stateFile, "utf8")) as StateRecord;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export function observe(folder: ContainerFolder): ContainerState {
  const record = readStateRecord(folder);
  if (record === undefined) return { ...initialState, status: "dead", orphaned: false };
  if (record.status === "created" || record.status === "exited") return { ...record, orphaned: false };
  const supervised = record.supervisor !== undefined && isAlive(record.supervisor);
  const processAlive = record.process !== undefined && isAlive(record.process);
  if (record.status === "restarting") {
    return supervised ? { ...record, orphaned: false } : { ...record, status: "exited", orphaned: false };
  }
  // A process that has just ended is running until its supervisor has written how it ended.
  if (supervised || processAlive) {
    const status = existsSync(folder.pausedFile) ? "paused" : "running";
    return { ...record, status, orphaned: !supervised };
  }
  return { ...record, ...lostEnd(folder, record), status: "exited", orphaned: false };
}

/** How a container ended that nobody watched. The launcher writes the code to `exit` if it outlived the supervisor. */
function lostEnd(
  folder: ContainerFolder,
  record: StateRecord,
): Pick<StateRecord, "exitCode" | "error" | "finishedAt" | "process" | "supervisor"> {
  const gone = { process: undefined, supervisor: undefined, finishedAt: record.startedAt };
  const known = readExit(folder);
  if (known !== undefined) return { ...gone, ...known, error: "" };
  if (record.process !== undefined && !isOfThisBoot(record.process)) {
    return { ...gone, exitCode: lostCode, error: "lost: the machine went down while it ran" };
  }
  return { ...gone, exitCode: unsupervisedCode, error: "monitor lost: its exit code is not known" };
}

/** Undefined when the launcher did not get that far. */
function readExit(folder: ContainerFolder): { readonly exitCode: number; readonly finishedAt: string } | undefined {
  const known = readExitFile(folder.path);
  return known && { exitCode: known.code, finishedAt: logTimestamp(known.exitedAtMs) };
}
