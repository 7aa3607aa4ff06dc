/** The flags of `run` and `create`, declared once. read-create-flags.ts reads them. */
import { type Command, Option } from "commander";
import { TsbuildError } from "../../errors.ts";

export interface CreateFlags {
  readonly attach?: readonly string[];
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly name?: string;
  readonly rm?: boolean;
  readonly cidfile?: string;
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
  readonly label?: readonly string[];
  readonly labelFile?: readonly string[];
  readonly annotation?: readonly string[];
  readonly entrypoint?: string;
  readonly user?: string;
  readonly groupAdd?: readonly string[];
  readonly workdir?: string;
  readonly hostname?: string;
  readonly domainname?: string;
  readonly volume?: readonly string[];
  readonly mount?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly volumesFrom?: readonly string[];
  readonly readOnly?: boolean;
  readonly expose?: readonly string[];
  readonly network?: string;
  readonly net?: string;
  readonly dns?: readonly string[];
  readonly dnsSearch?: readonly string[];
  readonly dnsOption?: readonly string[];
  readonly addHost?: readonly string[];
  readonly memory?: string;
  readonly memoryReservation?: string;
  readonly memorySwap?: string;
  readonly oomScoreAdj?: string;
  readonly shmSize?: string;
  readonly pidsLimit?: string;
  readonly cpus?: string;
  readonly cpuShares?: string;
  readonly cpuPeriod?: string;
  readonly cpuQuota?: string;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly ulimit?: readonly string[];
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
  readonly privileged?: boolean;
  readonly securityOpt?: readonly string[];
  readonly sysctl?: readonly string[];
  readonly device?: readonly string[];
  readonly deviceCgroupRule?: readonly string[];
  readonly gpus?: string;
  readonly pid?: string;
  readonly ipc?: string;
  readonly uts?: string;
  readonly cgroupns?: string;
  readonly userns?: string;
  readonly cgroupParent?: string;
  readonly restart?: string;
  readonly stopSignal?: string;
  readonly stopTimeout?: string;
  readonly init?: boolean;
  readonly healthCmd?: string;
  readonly healthInterval?: string;
  readonly healthTimeout?: string;
  readonly healthRetries?: string;
  readonly healthStartPeriod?: string;
  readonly healthStartInterval?: string;
  /** False with `--no-healthcheck`. */
  readonly healthcheck?: boolean;
  readonly pull?: string;
  readonly quiet?: boolean;
  readonly platform?: string;
  readonly logDriver?: string;
  readonly logOpt?: readonly string[];
  readonly runtime?: string;
}

/** commander starts an option whose name begins with `no-` at true. */
const collect = (value: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), value];

/** `[flags, description]`; a description that starts with `list:` may be given several times. */
const flags: readonly (readonly [string, string])[] = [
  ["-a, --attach <stream>", "list:stdin, stdout or stderr: what to attach to"],
  ["-i, --interactive", "keep stdin open"],
  ["-t, --tty", "a terminal of the container's own"],
  ["--name <name>", "what to call it (default: a random name)"],
  ["--rm", "remove it, and its anonymous volumes, when it ends"],
  ["--cidfile <file>", "write its ID here; the file must not exist"],
  ["-e, --env <key[=value]>", "list:a variable; without =value the caller's"],
  ["--env-file <file>", "list:variables, one a line"],
  ["-l, --label <key[=value]>", "list:a label"],
  ["--label-file <file>", "list:labels, one a line"],
  ["--annotation <key=value>", "list:an annotation of the runtime spec"],
  ["--entrypoint <word>", 'instead of the image\'s ENTRYPOINT and CMD; "" clears both'],
  ["-u, --user <user[:group]>", "names of the image's accounts, or numbers"],
  ["--group-add <group>", "list:a further group, by name or number"],
  ["-w, --workdir <path>", "working directory; made if it is not there"],
  ["-h, --hostname <name>", "its host name (default: its short ID)"],
  ["--domainname <name>", "its NIS domain name"],
  [
    "-v, --volume <[source:]path[:options]>",
    "list:a volume, or a folder of the host; options ro rw nocopy and propagation",
  ],
  ["--mount <spec>", "list:type=bind|volume|tmpfs,source=…,target=…[,readonly]"],
  ["--tmpfs <path[:options]>", "list:a file system in memory"],
  ["--volumes-from <container[:ro]>", "list:the mounts of another container"],
  ["--read-only", "its root file system cannot be written"],
  ["--expose <port[/protocol]>", "list:a port that it serves: noted, not opened"],
  ["--network <mode>", "bridge (default where there is NAT), host, or none"],
  ["--dns <address>", "list:a DNS server instead of the host's"],
  ["--dns-search <domain>", "list:a DNS search domain"],
  ["--dns-option <option>", "list:a resolver option"],
  ["--add-host <name:address>", "list:a line of its /etc/hosts"],
  ["-m, --memory <size>", "memory limit"],
  ["--memory-reservation <size>", "soft memory limit"],
  ["--memory-swap <size>", "limit of memory and swap together; -1: no limit of swap"],
  ["--oom-score-adj <number>", "-1000 to 1000"],
  ["--shm-size <size>", "size of /dev/shm (default: 64m)"],
  ["--pids-limit <number>", "processes and threads at most; -1: no limit"],
  ["--cpus <number>", "processors' worth of time, such as 0.5"],
  ["-c, --cpu-shares <number>", "weight against other containers"],
  ["--cpu-period <microseconds>", "length of a scheduler period"],
  ["--cpu-quota <microseconds>", "time in each period"],
  ["--cpuset-cpus <list>", "processors to run on, such as 0-2,4"],
  ["--cpuset-mems <list>", "memory nodes to use"],
  ["--ulimit <name=soft[:hard]>", "list:a resource limit"],
  ["--cap-add <capability>", "list:a capability more, or ALL"],
  ["--cap-drop <capability>", "list:a capability less, or ALL"],
  ["--privileged", "all capabilities and devices, nothing masked: as good as root on the host"],
  ["--security-opt <option>", "list:no-new-privileges, seccomp=unconfined, systempaths=unconfined"],
  ["--sysctl <key=value>", "list:a kernel parameter of its namespaces"],
  ["--device <path[:path][:rwm]>", "list:a device of the host, or vendor/class=name of a CDI description"],
  ["--device-cgroup-rule <rule>", "list:devices that it may open, such as 'c 1:3 rwm'"],
  ["--pid <mode>", "host, or container:NAME: the processes that it sees"],
  ["--ipc <mode>", "private, or host: System V IPC, message queues and /dev/shm"],
  ["--uts <mode>", "host: the host's name is its own"],
  ["--cgroupns <mode>", "private, or host"],
  ["--cgroup-parent <path>", "cgroup that its own is placed below"],
  ["--restart <policy>", "no, on-failure[:max], always or unless-stopped"],
  ["--stop-signal <signal>", "what `stop` sends"],
  ["--stop-timeout <seconds>", "how long `stop` waits before SIGKILL"],
  ["--health-cmd <command>", "run by a shell from time to time: does it work?"],
  ["--health-interval <duration>", "between two checks (default: 30s)"],
  ["--health-timeout <duration>", "a check that takes longer has failed (default: 30s)"],
  ["--health-retries <number>", "failures until it counts as unhealthy (default: 3)"],
  ["--health-start-period <duration>", "in which failures do not count (default: 0s)"],
  ["--health-start-interval <duration>", "between two checks in the start period (default: 5s)"],
  ["--no-healthcheck", "without the image's HEALTHCHECK"],
  ["--init", "pid 1 is an init that forwards signals and reaps"],
  ["--pull <policy>", "always, missing or never"],
  ["-q, --quiet", "no progress of a pull"],
  ["--platform <platform>", "os/arch[/variant] of the image"],
  ["--log-driver <driver>", "json-file or none"],
  ["--log-opt <key=value>", "list:max-size, max-file"],
  ["--runtime <name>", "native, crun, runc, or a path"],
];

/** docker's flags that are not there: each an error that names it, not a typo. */
const refused: readonly string[] = [
  "--blkio-weight <n>",
  "--ip <address>",
  "--link <container>",
  "--mac-address <address>",
  "--network-alias <name>",
  "--oom-kill-disable",
  "-p, --publish <ports>",
  "-P, --publish-all",
  "--storage-opt <option>",
  "--volume-driver <name>",
];

export function defineCreateFlags(command: Command): void {
  command.argument("<image>").argument("[command...]");
  for (const [words, text] of flags) {
    const option = new Option(words, text.replace(/^list:/, ""));
    command.addOption(text.startsWith("list:") ? option.argParser(collect) : option);
  }
  for (const words of ["--net <mode>", "--gpus <spec>", "--userns <mode>"])
    command.addOption(new Option(words).hideHelp());
  command.addOption(new Option("--disable-content-trust").hideHelp());
  for (const words of refused) {
    const long = /--[a-z-]+/.exec(words)?.[0] ?? words;
    const option = new Option(words).hideHelp();
    command.addOption(option);
    command.on(`option:${option.name()}`, () => {
      throw new TsbuildError({
        code: "UNSUPPORTED",
        what: `${long} is not supported`,
        where: { kind: "flag", flag: long },
      });
    });
  }
}
