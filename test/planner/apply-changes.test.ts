import { describe, expect, test } from "vitest";
import type { ContainerConfig } from "../../src/oci/image-config.ts";
import { applyChanges } from "../../src/planner/apply-changes.ts";

const base: ContainerConfig = { Env: ["A=1"], WorkingDir: "/w", Cmd: ["old"], Labels: { l: "1" } };

describe("a change", () => {
  test.for<{ change: string; changed: ContainerConfig }>([
    { change: 'CMD ["a", "b"]', changed: { ...base, Cmd: ["a", "b"] } },
    { change: "CMD a b", changed: { ...base, Cmd: ["/bin/sh", "-c", "a b"] } },
    { change: 'ENTRYPOINT ["x"]', changed: { Env: ["A=1"], WorkingDir: "/w", Labels: { l: "1" }, Entrypoint: ["x"] } },
    { change: "ENV B=$A A=2", changed: { ...base, Env: ["A=2", "B=1"] } },
    { change: "LABEL m=2", changed: { ...base, Labels: { l: "1", m: "2" } } },
    { change: "EXPOSE 80", changed: { ...base, ExposedPorts: { "80/tcp": {} } } },
    { change: "USER bob", changed: { ...base, User: "bob" } },
    { change: "VOLUME /data", changed: { ...base, Volumes: { "/data": {} } } },
    { change: "WORKDIR sub", changed: { ...base, WorkingDir: "/w/sub" } },
    { change: "WORKDIR /x", changed: { ...base, WorkingDir: "/x" } },
    { change: "STOPSIGNAL SIGUSR1", changed: { ...base, StopSignal: "SIGUSR1" } },
    { change: "ONBUILD RUN x", changed: { ...base, OnBuild: ["RUN x"] } },
    { change: "HEALTHCHECK NONE", changed: { ...base, Healthcheck: { Test: ["NONE"] } } },
    { change: "ENV X=1\nUSER bob", changed: { ...base, Env: ["A=1", "X=1"], User: "bob" } },
  ])("$change", ({ change, changed }) => {
    const after = applyChanges(base, [change]);
    expect({ ...after, Env: after.Env?.toSorted() }).toEqual(changed);
  });

  test("sees what the one before it made", () => {
    expect(applyChanges({}, ["ENV A=/x", "WORKDIR $A"])).toEqual({ Env: ["A=/x"], WorkingDir: "/x" });
  });

  test.for(["RUN x", "FROM y", "COPY a b", "ARG x", "NONSENSE", "USER", "ENV"])("%s is refused", (change) => {
    expect(() => applyChanges({}, [change])).toThrow(
      expect.objectContaining({
        code: "INSTRUCTION_INVALID",
        message: expect.stringContaining(JSON.stringify(change)),
      }),
    );
  });
});
