// The checks that BuildKit does not have: what they say, and the near misses of which they say nothing.
import { expect, test } from "vitest";
import { checkText, type FindingsRequest, namesOf } from "./findings.ts";

interface Row extends FindingsRequest {
  readonly text: string;
  /** Line and check, without the one about tags that is not meant. */
  readonly found: readonly string[];
}

const b = "FROM b:1⏎";

test.for<Row>([
  { text: `${b}RUN apt-get update⏎RUN apt-get install -y curl`, found: ["2 AptUpdateAlone"] },
  { text: `${b}RUN apt-get update⏎RUN apt-get update && apt-get install x && rm -rf /var/lib/apt/lists/*`, found: [] },
  { text: `${b}RUN apt-get update⏎RUN make`, found: [] },
  {
    text: `${b}RUN --mount=type=cache,target=/var/lib/apt apt-get update⏎RUN --mount=type=cache,target=/var/lib/apt apt-get install x`,
    found: [],
  },
  { text: `${b}RUN sudo apt-get -qq update⏎RUN sudo apt-get -y install x`, found: ["2 AptUpdateAlone"] },
  { text: `${b}RUN <<E⏎apt-get update⏎E⏎RUN <<E⏎apt-get install x⏎E`, found: ["2 AptUpdateAlone"] },

  { text: `${b}COPY . .⏎RUN npm ci`, found: ["2 CopyBeforeInstall"] },
  { text: `${b}COPY ./ /app/⏎RUN cd /app && pip3 install -r requirements.txt`, found: ["2 CopyBeforeInstall"] },
  { text: `${b}ADD . /src⏎RUN apk add --no-cache make`, found: ["2 CopyBeforeInstall"] },
  { text: `${b}COPY . .⏎RUN --mount=type=cache,target=/root/.npm npm ci`, found: ["2 CopyBeforeInstall"] },
  { text: `${b}COPY package.json package-lock.json ./⏎RUN npm ci⏎COPY . .⏎RUN npm run build`, found: [] },
  { text: `${b}COPY package.json ./⏎RUN npm ci⏎COPY . .⏎RUN npm ci --omit=dev`, found: [] },
  { text: `${b}COPY . .⏎RUN pip install .`, found: [] },
  { text: `${b}COPY . .⏎RUN make`, found: [] },
  { text: `${b}COPY src /src⏎RUN npm ci`, found: [] },
  { text: `FROM b:1 AS a⏎FROM b:1⏎COPY --from=a . .⏎RUN npm ci`, found: [] },

  {
    text: `${b}COPY app.tgz /tmp/app.tgz⏎RUN tar xf /tmp/app.tgz⏎RUN rm /tmp/app.tgz`,
    found: ["4 DeletedInLaterLayer"],
  },
  { text: `${b}WORKDIR /w⏎COPY a.tgz b.tgz ./⏎RUN rm -f a.tgz`, found: ["4 DeletedInLaterLayer"] },
  { text: `${b}RUN curl -fsSLo /tmp/x https://h/x⏎RUN rm -rf /tmp/*`, found: ["3 DeletedInLaterLayer"] },
  { text: `${b}WORKDIR /w⏎RUN wget -q https://h/x.tar⏎RUN cd /w && rm x.tar`, found: ["4 DeletedInLaterLayer"] },
  { text: `${b}RUN git clone https://h/r.git /src⏎RUN rm -r /src`, found: ["3 DeletedInLaterLayer"] },
  { text: `${b}RUN echo 1 > /etc/x⏎RUN rm /etc/x`, found: ["3 DeletedInLaterLayer"] },
  { text: `FROM b:1 AS a⏎COPY x /x⏎FROM a⏎RUN rm /x`, found: ["4 DeletedInLaterLayer"] },
  { text: `FROM b:1 AS a⏎COPY x /x⏎RUN rm /x⏎FROM b:1⏎COPY --from=a /y /y`, found: [] },
  { text: `${b}RUN curl -o /tmp/x https://h/x && rm /tmp/x`, found: [] },
  { text: `${b}RUN --mount=type=cache,target=/tmp curl -o /tmp/x https://h/x⏎RUN rm -f /tmp/x`, found: [] },
  { text: `${b}COPY x /x⏎RUN rm -rf /y "$d" x*`, found: [] },
  { text: `${b}COPY x /x⏎RUN rm /xy`, found: [] },
  { text: `${b}RUN curl https://h/x | tar x⏎RUN rm -rf /x`, found: [] },

  { text: `${b}RUN apt-get update && apt-get install -y curl`, found: ["2 PackageCacheInLayer"] },
  { text: `${b}RUN apt-get update && apt-get install -y curl && apt-get clean`, found: ["2 PackageCacheInLayer"] },
  { text: `${b}RUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*`, found: [] },
  { text: `${b}RUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt /var/cache/apt`, found: [] },
  { text: `${b}RUN apt-get update && apt-get install -y curl && rm -rf /var/lib/{apt,dpkg}`, found: [] },
  {
    text: `${b}RUN --mount=type=cache,target=/var/lib/apt,sharing=locked apt-get update && apt-get install x`,
    found: [],
  },
  { text: `${b}RUN --mount=type=tmpfs,target=/var/lib/apt/lists apt-get update && apt-get install x`, found: [] },
  { text: `${b}RUN apk add curl`, found: ["2 PackageCacheInLayer"] },
  { text: `${b}RUN apk add --no-cache curl`, found: [] },
  { text: `${b}RUN apk --no-cache add curl`, found: [] },
  { text: `${b}RUN apk add curl && rm -rf /var/cache/apk/*`, found: [] },
  { text: `${b}RUN --mount=type=cache,target=/var/cache/apk apk add curl`, found: [] },
  { text: `${b}RUN dnf install -y x`, found: ["2 PackageCacheInLayer"] },
  { text: `${b}RUN dnf install -y x && dnf clean all`, found: [] },
  { text: `${b}RUN yum -y install x && rm -rf /var/cache/yum`, found: [] },
  { text: `${b}RUN zypper install x`, found: ["2 PackageCacheInLayer"] },
  { text: `FROM b:1 AS build⏎RUN apk add curl⏎FROM b:1⏎COPY --from=build /x /x`, found: [] },
  { text: `FROM b:1 AS base⏎RUN apk add curl⏎FROM base`, found: ["2 PackageCacheInLayer"] },
  { text: `${b}SHELL ["pwsh"]⏎RUN apk add curl`, found: [] },
  { text: `${b}RUN ["apk", "add", "curl"]`, found: ["2 PackageCacheInLayer"] },
  { text: `${b}RUN <<E⏎#!/usr/bin/env python3⏎apk add curl⏎E`, found: [] },

  { text: "FROM debian", found: ["1 LatestTagInFrom"] },
  { text: "FROM debian:latest", found: ["1 LatestTagInFrom"] },
  { text: "FROM debian:12", found: [] },
  { text: `FROM debian@sha256:${"a".repeat(64)}`, found: [] },
  { text: "FROM scratch AS a⏎FROM a⏎COPY --from=a / /⏎COPY --from=0 / /", found: [] },
  { text: "FROM scratch⏎COPY --from=busybox /bin /bin", found: ["2 LatestTagInFrom"] },
  { text: "ARG V=12⏎FROM debian:$V", found: [] },
  { text: "ARG T=latest⏎FROM debian:$T", found: ["2 LatestTagInFrom"] },
  { text: "FROM x", options: { namedContexts: new Map([["x", { kind: "directory", path: "/c" }]]) }, found: [] },

  { text: "FROM scratch⏎ENV id=AKIAABCDEFGHIJKLMNOP", found: ["2 SecretValueInArgOrEnv"] },
  { text: `FROM scratch⏎ARG gh=ghp_${"a".repeat(36)}`, found: ["2 SecretValueInArgOrEnv"] },
  { text: "FROM scratch⏎ENV url=postgres://me:hunter2@db/x", found: ["2 SecretValueInArgOrEnv"] },
  { text: "FROM scratch⏎ARG u=a p=b⏎ENV url=postgres://$u:$p@db/x", found: [] },
  { text: "FROM scratch⏎ENV url=https://h/x?a=b@c", found: [] },
  { text: "FROM scratch⏎ENV DB_PASSWORD=AKIAABCDEFGHIJKLMNOP", found: ["2 SecretsUsedInArgOrEnv"] },
])("$text", async ({ text, found, ...request }) => {
  expect(await namesOf(text, { ...request, own: true })).toEqual(found);
});

test("they are quiet in a build, unless the file names them", async () => {
  const text = "FROM debian";
  expect(await namesOf(text)).toEqual([]);
  expect(await namesOf(`# check=experimental=LatestTagInFrom⏎${text}`)).toEqual(["2 LatestTagInFrom"]);
  expect(await namesOf(`# check=experimental=all⏎${text}`)).toEqual([]);
  expect(await namesOf(`# check=skip=LatestTagInFrom⏎${text}`, { own: true })).toEqual([]);
});

test("of a long RUN the command is shown that is meant", async () => {
  const text = "FROM b:1⏎RUN set -e; \\⏎  apk add \\⏎    curl && \\⏎  true";
  const { dockerfile, warnings } = await checkText(text, { own: true });
  expect(warnings.map(({ range }) => dockerfile.text.slice(range.start, range.end))).toEqual(["apk add \\\n    curl"]);
});
