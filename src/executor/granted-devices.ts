/** The devices that RUN steps ask for, looked up and allowed before anything runs. */
import { TsbuildError } from "../errors.ts";
import { whereOf } from "../parser/position.ts";
import type { BuildGraph, StepId } from "../planner/build-graph.ts";
import { type CdiDevice, deviceSpecFolders, findDevices, isAllowedForAll, readCdi } from "../runtime/cdi.ts";
import { deviceNotAllowed } from "./errors.ts";

export type GrantedDevices = ReadonlyMap<StepId, readonly CdiDevice[]>;

/**
 * `allow`: the entitlements of the build: `device` is every device, `device=NAME` those that the name finds.
 * @throws {TsbuildError} `INVALID_ARGUMENT` for a required device that is not there, `INSTRUCTION_INVALID` for one that
 * nobody allowed, both with the step's place
 */
export async function grantDevices(
  graph: BuildGraph,
  allow: readonly string[],
  folders: readonly string[] = deviceSpecFolders,
): Promise<GrantedDevices> {
  const cdi = await readCdi(folders);
  const allowsAll = allow.includes("device");
  const allowed = new Set(
    allow.flatMap((entitlement) => {
      const name = /^device=(.+)$/s.exec(entitlement)?.[1];
      return name === undefined ? [] : findDevices(cdi, { name, required: false });
    }),
  );
  const granted = new Map<StepId, readonly CdiDevice[]>();
  for (const { id, input, range } of graph.steps) {
    if (input.kind !== "run" || input.devices.length === 0) continue;
    const where = whereOf(graph, range);
    const devices = input.devices.flatMap((request) => {
      try {
        return findDevices(cdi, request);
      } catch (error) {
        if (!(error instanceof TsbuildError)) throw error;
        throw new TsbuildError({ code: error.code, what: error.message, hint: error.hint, where, cause: error });
      }
    });
    const refused = devices.filter((device) => !allowsAll && !allowed.has(device) && !isAllowedForAll(device));
    if (refused.length > 0) throw deviceNotAllowed([...new Set(refused.map(({ name }) => name))], where);
    granted.set(id, [...new Set(devices)]);
  }
  return granted;
}
