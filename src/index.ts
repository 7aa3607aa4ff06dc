/**
 * The programmatic API: the functions that the command line itself calls, and the types of what goes in and comes out.
 * The only file that re-exports. Paths are absolute, times are epoch milliseconds, an AbortSignal ends what waits.
 */
export { type ImportOptions, importImage } from "./archive/import.ts";
export { type LoadedImage, type LoadOptions, loadImages } from "./archive/load.ts";
export { type ArchiveFormat, type SavedImage, type SaveOptions, saveImages } from "./archive/save.ts";
export { type CheckRequest, checkDockerfile } from "./checks/check-dockerfile.ts";
export { type Fixed, fixWarnings } from "./checks/fix.ts";
export { type Rule, rules } from "./checks/rules.ts";
export { type ErrorCode, TsbuildError, type Where } from "./errors.ts";
export { commitImage } from "./executor/commit-image.ts";
export type { BuildEvent, BuildSummary, StepTitle } from "./executor/events.ts";
export { type BuildEnvironment, type BuildResult, build } from "./executor/execute.ts";
export type { FinishedTarget } from "./executor/finished-target.ts";
export { parseReference, type Reference } from "./oci/reference.ts";
export type { Diagnostic, Dockerfile, Instruction, ParseResult } from "./parser/ast.ts";
export { formatDockerfile } from "./parser/format.ts";
export { parse } from "./parser/parse.ts";
export { printDockerfile } from "./parser/print.ts";
export { buildGraph } from "./planner/bind.ts";
export type { BuildGraph, StepId } from "./planner/build-graph.ts";
export type { BuildContext, BuildOptions, ResolveImage } from "./planner/build-options.ts";
export type { MissReason } from "./planner/miss-reason.ts";
export type { Plan, PlannedStep, StepOutcome } from "./planner/plan.ts";
export { planBuild } from "./planner/plan-build.ts";
export type { RegistryAccess } from "./registry/access.ts";
export { type PullOptions, pullImage } from "./registry/pull-image.ts";
export { type PushOptions, type PushResult, pushImage } from "./registry/push-image.ts";
export { type CreateRequest, createContainer } from "./runtime/containers/create-container.ts";
export { inspectContainer } from "./runtime/containers/inspect-container.ts";
export { removeContainer } from "./runtime/containers/remove-container.ts";
export { killContainer, stopContainer, waitForExit } from "./runtime/containers/stop-container.ts";
export type { ContainerRequest, Driver, ExecRequest, ExitStatus, RunningContainer } from "./runtime/driver.ts";
export { createDriver } from "./runtime/drivers/create-driver.ts";
export { type CheckOptions, type CheckReport, checkStore, type Fault } from "./store/check.ts";
export { openStore } from "./store/open-store.ts";
export { type RemovedImage, removeImage } from "./store/remove-image.ts";
export type { CacheRecord, LayerRecord, Store, StoredImage } from "./store/store.ts";
