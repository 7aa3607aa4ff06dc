/** What a RUN can be given, from the flag on the command line to the command in the container. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { canRunContainers } from "../support/container.ts";
import { lacks } from "../support/needs.ts";
import { programTree } from "../support/program-tree.ts";
import { Workshop } from "./build-support.ts";

let workshop: Workshop;

beforeAll(async () => {
  if (!canRunContainers) return;
  workshop = new Workshop();
  await workshop.importBase();
});
afterAll(() => workshop?.[Symbol.dispose]());

describe.skipIf(!canRunContainers || lacks("ssh-keygen", "ssh-add", "ssh-agent"))("RUN --mount=type=ssh", () => {
  let key: string;
  let agentSocket: string;
  let stopAgent: () => Promise<void>;

  beforeAll(async () => {
    programTree(`${workshop.folder}/ssh`, ["/usr/bin/ssh-add", "/usr/bin/ssh-keygen"]);
    key = `${workshop.folder}/id`;
    execFileSync("ssh-keygen", ["-q", "-N", "", "-t", "ed25519", "-C", "the key", "-f", key]);
    agentSocket = `${workshop.folder}/agent`;
    const agent = spawn("ssh-agent", ["-D", "-a", agentSocket], { stdio: "ignore" });
    stopAgent = async () => {
      agent.kill();
      await once(agent, "close");
    };
    await vi.waitFor(() => expect(existsSync(agentSocket)).toBe(true));
    execFileSync("ssh-add", ["-q", key], { env: { ...process.env, SSH_AUTH_SOCK: agentSocket }, stdio: "ignore" });
  });
  afterAll(async () => await stopAgent?.());

  /** A context with OpenSSH's programs and the public key. */
  function context(): string {
    const folder = workshop.context({ "id.pub": readFileSync(`${key}.pub`, "utf8"), message: "text to sign" });
    cpSync(`${workshop.folder}/ssh`, `${folder}/ssh`, { recursive: true });
    return folder;
  }

  const signing = [
    "FROM b",
    "COPY ssh /",
    "COPY id.pub message /",
    "RUN --mount=type=ssh ssh-add -L && ssh-keygen -Y sign -f /id.pub -n test /message",
    "RUN ssh-keygen -Y check-novalidate -n test -s /message.sig < /message",
  ].join("⏎");

  test.for([
    { name: "the caller's agent", flag: () => "default", environment: true },
    { name: "an agent at a socket", flag: () => `default=${agentSocket}`, environment: false },
    { name: "a key file", flag: () => `default=${key}`, environment: false },
  ])("a command signs with $name", async ({ flag, environment }) => {
    const env = process.env["SSH_AUTH_SOCK"];
    try {
      if (environment) process.env["SSH_AUTH_SOCK"] = agentSocket;
      else delete process.env["SSH_AUTH_SOCK"];
      const built = await workshop.buildIn(context(), signing, ["--no-cache", "--ssh", flag()]);
      expect(built.stderr).toMatch(/ssh-ed25519 AAAA/);
      expect(built.stderr).toMatch(/Good "test" signature/);
      expect(built.image.layers.flat().filter((path) => path.includes("agent"))).toEqual([]);
    } finally {
      process.env["SSH_AUTH_SOCK"] = env;
      if (env === undefined) delete process.env["SSH_AUTH_SOCK"];
    }
  });

  test("each mount is a socket with its own place, mode and owner", async () => {
    const list =
      "for f in /run/buildkit/ssh_agent.0 /w/a /run/buildkit/ssh_agent.2; do stat -c '%n %F %a %u:%g' $f; done";
    const mounts = ["type=ssh", "type=ssh,id=o,target=a,mode=666,uid=5,gid=6", "type=ssh,id=o"];
    const flags = mounts.map((mount) => `--mount=${mount}`).join(" ");
    const dockerfile = `FROM b⏎WORKDIR /w⏎RUN ${flags} ${list}; echo $SSH_AUTH_SOCK`;
    const built = await workshop.build(dockerfile, {}, ["--ssh", `default=${key}`, "--ssh", `o=${key}`]);
    expect(built.stderr).toContain("/run/buildkit/ssh_agent.0 socket 600 0:0");
    expect(built.stderr).toContain("/w/a socket 666 5:6");
    expect(built.stderr).toContain("/run/buildkit/ssh_agent.2 socket 600 0:0");
    expect(built.stderr).toMatch(/ \/run\/buildkit\/ssh_agent\.0\n/);
    expect(built.image.layers.at(-1)).toEqual([]);
  });

  test.for([
    { name: "the first mount's target", line: "RUN --mount=type=ssh,target=/s --mount=type=ssh", says: "</s>" },
    { name: "the Dockerfile's own", line: "ENV SSH_AUTH_SOCK=/mine⏎RUN --mount=type=ssh", says: "</mine>" },
    { name: "set although there is no agent", line: "RUN --mount=type=ssh", says: "</run/buildkit/ssh_agent.0>" },
    { name: "not set without such a mount", line: "RUN", says: "<unset>" },
  ])("SSH_AUTH_SOCK is $name", async ({ line, says }) => {
    const built = await workshop.build(`FROM b⏎${line} echo "<\${SSH_AUTH_SOCK-unset}>"`);
    expect(built.stderr).toContain(says);
    expect(built.code).toBe(0);
  });

  test("another user needs uid or mode", async () => {
    const dockerfile = (options: string): string =>
      `FROM b⏎COPY ssh /⏎USER bob⏎RUN --mount=type=ssh${options} ssh-add -l`;
    const flags = ["--ssh", `default=${key}`];
    expect((await workshop.buildIn(context(), dockerfile(""), flags)).code).toBe(1);
    expect((await workshop.buildIn(context(), dockerfile(",uid=1000"), flags)).code).toBe(0);
    expect((await workshop.buildIn(context(), dockerfile(",mode=0666"), flags)).code).toBe(0);
  });

  test("a required agent that is not given fails the step, with the flag to give it", async () => {
    const built = await workshop.build("FROM b⏎RUN --mount=type=ssh,id=k,required true");
    expect(built.code).toBe(1);
    expect(built.stderr).toContain("the ssh agent k is required and was not given");
    expect(built.stderr).toContain("--ssh k=SOCKET or --ssh k=KEYFILE");
  });

  test.for([
    { name: "no agent to forward", flag: "default", says: "SSH_AUTH_SOCK is not set" },
    { name: "no such file", flag: "k=/nowhere", says: "no such file: /nowhere" },
    { name: "a folder", flag: "k=/tmp", says: "neither a socket nor a file" },
    { name: "the same ID twice", flag: "a=/etc/passwd --ssh a=/etc/passwd", says: "cannot read a private key" },
    { name: "no key", flag: "k=/etc/passwd", says: "cannot read a private key from /etc/passwd" },
  ])("said before anything runs: $name", async ({ flag, says }) => {
    const built = await workshop.build("FROM b⏎RUN true", {}, ["--ssh", ...flag.split(" ")]);
    expect(built.code).not.toBe(0);
    expect(built.stderr).toContain(says);
  });
});

describe.skipIf(!canRunContainers)("RUN --security=insecure", () => {
  const look =
    "grep -E 'Cap|Seccomp:' /proc/self/status; touch /sys/kernel/mm/x 2>&1; ls -l /dev/loop-control /dev/kmsg";

  test("needs --allow, and then has every capability, no filter, no masks, and the devices", async () => {
    const dockerfile = `FROM b⏎RUN --security=insecure ${look}; mount -t tmpfs t /tmp && touch /tmp/x && dd if=/dev/kmsg of=/dev/null count=0`;
    const refused = await workshop.build(dockerfile);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("--allow security.insecure");
    const built = await workshop.build(dockerfile, {}, ["--allow", "security.insecure"]);
    expect(built.code).toBe(0);
    const own = /CapEff:\s*(\w+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "";
    expect(built.stderr).toContain(own);
    expect(built.stderr).toMatch(/Seccomp:\s*0/);
    expect(built.stderr).toMatch(/10, 237 .*loop-control/);
    expect(built.stderr).not.toContain("Read-only file system");
    expect(built.image.layers.at(-1)).toEqual([]);
  });

  test("sandbox is the default, and has none of that", async () => {
    const built = await workshop.build(`FROM b⏎RUN ${look} || true`);
    expect(built.stderr).toContain("00000000a80425fb");
    expect(built.stderr).toMatch(/Seccomp:\s*2/);
    expect(built.stderr).toContain("Read-only file system");
  });
});

describe.skipIf(!canRunContainers)("RUN --device", () => {
  let folders: string | undefined;

  beforeAll(() => {
    const folder = `${workshop.folder}/cdi`;
    mkdirSync(folder);
    const nodes = [{ path: "/dev/v/empty", hostPath: "/dev/null" }];
    const mounts = [{ hostPath: "/etc/hostname", containerPath: "/opt/v/name", options: ["ro"] }];
    const open = { "org.mobyproject.buildkit.device.autoallow": "true" };
    const devices = [
      { name: "a", containerEdits: { env: ["V=injected"], deviceNodes: nodes, mounts, additionalGids: [77] } },
      { name: "open", annotations: open, containerEdits: { env: ["OPEN=1"] } },
      { name: "hooked", containerEdits: { hooks: [{ hookName: "prestart", path: "/no/such/hook" }] } },
    ];
    const hook = `${folder}/hook`;
    const root = `$(sed 's/.*"root":{"path":"\\([^"]*\\)".*/\\1/' config.json)`;
    writeFileSync(hook, `#!/bin/sh\necho "$1" >${root}/by-the-hook\n`, { mode: 0o755 });
    const yaml = [
      "cdiVersion: 0.6.0",
      "kind: y.com/d",
      "devices:",
      "  - name: h",
      "    containerEdits:",
      "      hooks:",
    ];
    const fields = ["hookName: createContainer", `path: ${hook}`, "args: [hook, made]"];
    writeFileSync(`${folder}/y.yaml`, [...yaml, `        - {${fields.join(", ")}}`, ""].join("\n"));
    writeFileSync(`${folder}/v.json`, JSON.stringify({ cdiVersion: "0.6.0", kind: "v.com/d", devices }));
    folders = process.env["TSBUILD_CDI_DIRS"];
    process.env["TSBUILD_CDI_DIRS"] = folder;
  });
  afterAll(() => {
    if (folders === undefined) delete process.env["TSBUILD_CDI_DIRS"];
    else process.env["TSBUILD_CDI_DIRS"] = folders;
  });

  test.for([
    { name: "all devices", allow: "device" },
    { name: "this device", allow: "device=v.com/d=a" },
    { name: "the kind's first", allow: "device=v.com/d" },
  ])("a step has its node, variable, mount and group when the build allows $name", async ({ allow }) => {
    const dockerfile =
      "FROM b⏎RUN --device=v.com/d=a echo x >/dev/v/empty && stat -c '%F %a' /dev/v/empty && echo $V && cat /opt/v/name && id -G";
    const built = await workshop.build(dockerfile, {}, ["--no-cache", "--allow", allow]);
    expect(built.stderr).toContain("character special file 666");
    expect(built.stderr).toContain("injected");
    expect(built.stderr).toContain(readFileSync("/etc/hostname", "utf8").trim());
    expect(built.stderr).toMatch(/ 0 77\n/);
    expect(built.image.layers.at(-1)).toEqual([]);
  });

  test.for([
    {
      name: "one that nobody allowed",
      flag: "v.com/d=a",
      says: "device v.com/d=a is requested by the build but not allowed",
      hint: "--allow device=v.com/d=a",
    },
    {
      name: "a required one that is not there",
      flag: "v.com/d=zz,required",
      says: 'required device "v.com/d=zz" is not registered',
      hint: "v.com/d",
    },
  ])("refused before anything runs: $name", async ({ flag, says, hint }) => {
    const built = await workshop.build(`FROM b⏎RUN echo ran⏎RUN --device=${flag} true`, {}, ["--no-cache"]);
    expect(built.code).toBe(1);
    expect(built.stderr).toContain(says);
    expect(built.stderr).toContain(hint);
    expect(built.stderr).not.toContain("ran\n");
    expect(built.stderr).toMatch(/Dockerfile\d+:3:1/);
  });

  test("a hook that fails fails the step that needs its device", async () => {
    const built = await workshop.build("FROM b⏎RUN --device=v.com/d=hooked true", {}, ["--allow", "device"]);
    expect([built.code, built.stderr]).toEqual([
      1,
      expect.stringContaining("the hook prestart /no/such/hook cannot be executed"),
    ]);
  });

  test("a hook of a description in YAML finds the step's files", async () => {
    const text = "FROM b⏎RUN --device=y.com/d=h cat /by-the-hook";
    const built = await workshop.build(text, {}, ["--no-cache", "--allow", "device"]);
    expect(built.stderr).toContain("made\n");
    expect(built.image.read("/by-the-hook")).toBe("made\n");
  });

  test("what its file allows for all needs no flag; what is not there and not required is nothing", async () => {
    const built = await workshop.build("FROM b⏎RUN --device=v.com/d=open --device=w.com/x echo $OPEN:");
    expect(built.stderr).toContain("1:");
    expect(built.code).toBe(0);
  });
});

describe.skipIf(!canRunContainers)("the network of a RUN", () => {
  test("host-gateway is an address of this machine that the step can reach", async () => {
    const args = ["--no-cache", "--add-host", "up:host-gateway"];
    const built = await workshop.build(
      "FROM b⏎RUN grep -w up /etc/hosts; ip route 2>/dev/null | grep default",
      {},
      args,
    );
    const address = /(\d+\.\d+\.\d+\.\d+)\tup/.exec(built.stderr)?.[1];
    const own = Object.values(networkInterfaces()).flatMap((each) => each?.map((one) => one.address) ?? []);
    // The bridge has gone with the build; where there was none, it is the loopback.
    if (built.stderr.includes("uses the host's network")) expect(own).toContain(address);
    else expect(built.stderr).toContain(`via ${address}`);
  });
});

describe.skipIf(!canRunContainers)("limits of RUN steps", () => {
  test.for([
    {
      flags: ["--cpuset-cpus", "0"],
      look: "grep Cpus_allowed_list /proc/self/status",
      says: /Cpus_allowed_list:\s*0\n/,
    },
    { flags: ["--ulimit", "nofile=64:128"], look: "ulimit -n; ulimit -Hn", says: / 64\n.* 128\n/ },
    { flags: ["--shm-size", "1m"], look: "grep /dev/shm /proc/mounts", says: /size=1024k/ },
  ])("$flags", async ({ flags, look, says }) => {
    const built = await workshop.build(`FROM b⏎RUN ${look}`, {}, ["--no-cache", ...flags]);
    expect(built.stderr).toMatch(says);
  });

  test("other limits and another agent take the step from the cache", async () => {
    const dockerfile = "FROM b⏎RUN --mount=type=ssh echo limited";
    await workshop.build(dockerfile);
    const again = await workshop.build(dockerfile, {}, ["-m", "64m", "--cpu-shares", "512", "--cpuset-cpus", "0"]);
    expect(again.stderr).toContain("all cached");
  });
});

describe.skipIf(!canRunContainers)("a RUN that cannot start", () => {
  test.for([
    { name: "no shell", text: "FROM scratch⏎RUN true", says: "the image has no shell" },
    { name: "another shell", text: 'FROM b⏎SHELL ["/bin/bash", "-c"]⏎RUN true', says: 'SHELL ["/bin/sh", "-c"]' },
    { name: "not executable", text: 'FROM b⏎RUN ["/etc/passwd"]', says: "make it executable" },
  ])("says what helps: $name", async ({ text, says }) => {
    const built = await workshop.build(text);
    expect([built.code, built.stderr]).toEqual([1, expect.stringContaining(`hint: `)]);
    expect(built.stderr).toContain(says);
  });
});

describe.skipIf(!canRunContainers)("a context that belongs to somebody", () => {
  test("is shown as root's by a bind, without what is ignored, and stays as it is", async () => {
    const context = workshop.context({ "d/x": "x\n", "d/hidden": "", ".dockerignore": "d/hidden" });
    for (const path of ["", "/d", "/d/x"]) chownSync(`${context}${path}`, 1234, 1234);
    const look = "ls -A /m/d && stat -c %u:%g /m/d /m/d/x";
    const dockerfile = `FROM b⏎RUN --mount=target=/m ${look} && (touch /m/y 2>/dev/null || echo refused)⏎RUN --mount=target=/m,rw rm /m/d/x⏎RUN --mount=target=/m cat /m/d/x`;
    const built = await workshop.buildIn(context, dockerfile);
    expect(built.code).toBe(0);
    expect(built.stderr).toMatch(/ x\n.* 0:0\n.* 0:0\n.* refused\n/);
    expect(statSync(`${context}/d/x`).uid).toBe(1234);
  });

  const script = `stat -c '%u:%g %a %n' /c/* /c/d/*; cat /c/d/x; ls -ln /c/d/x | cut -c1-10; (echo n >/c/n) 2>&1; id`;
  const somebodys = (name: string): string => {
    const context = workshop.context({ "d/x@640": name, "s@4755": "" });
    for (const path of ["", "/d", "/d/x", "/s"]) chownSync(`${context}${path}`, 1234, 4321);
    // Set by its owner: a change of owner takes it away.
    chmodSync(`${context}/s`, 0o4755);
    return context;
  };

  test.for([
    { name: "one user has all of it", change: (_: string) => undefined },
    { name: "several users have parts of it", change: (context: string) => chownSync(`${context}/d/x`, 7, 8) },
    {
      name: "something in it is hidden",
      change: (context: string) => writeFileSync(`${context}/.dockerignore`, "hidden\n.dockerignore\n"),
    },
  ])("is shown as root's in a bind when $name", async ({ name, change }) => {
    const context = somebodys(name);
    change(context);
    const text = `FROM b⏎RUN --mount=type=bind,target=/c ${script}`;
    const { stderr, image } = await workshop.buildIn(context, text, ["--no-cache"]);
    for (const line of ["0:0 755 /c/d\n", "0:0 4755 /c/s\n", "0:0 640 /c/d/x\n", `${name}-rw-r-----\n`])
      expect(stderr).toContain(line);
    expect(stderr).toContain("Read-only file system");
    expect(image.layers.at(-1)).toEqual([]);
    // A user sees what root's modes let him see, whoever he is on the host.
    const asUser = `FROM b⏎USER 1234:4321⏎RUN --mount=type=bind,target=/c cat /c/d/x`;
    expect((await workshop.buildIn(context, asUser, ["--no-cache"])).stderr).toContain("Permission denied");
  });

  test("is root's in a bind that is written to, whose writes go nowhere", async () => {
    const context = somebodys("written");
    const text = "FROM b⏎RUN --mount=type=bind,rw,target=/c stat -c '%u:%g %n' /c/d/x; echo new >/c/d/x; cat /c/d/x";
    const { stderr } = await workshop.buildIn(context, text, ["--no-cache"]);
    expect(stderr).toContain("0:0 /c/d/x\n");
    expect(stderr).toContain("new\n");
    expect(readFileSync(`${context}/d/x`, "utf8")).toBe("written");
    expect(statSync(`${context}/d/x`)).toMatchObject({ uid: 1234, gid: 4321 });
  });

  test("is root's with another runtime, which maps no owners", async () => {
    if (lacks("runc")) return;
    const text = "FROM b⏎RUN --mount=type=bind,target=/c stat -c '%u:%g %n' /c/d/x";
    const { stderr } = await workshop.buildIn(somebodys("x"), text, ["--no-cache", "--runtime", "runc"]);
    expect(stderr).toContain("0:0 /c/d/x\n");
  });
});
