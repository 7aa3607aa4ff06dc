/** FROM [--platform=P] IMAGE [AS NAME]. Source: Dockerfile reference, "FROM". */
import type { IToken } from "chevrotain";
import { badStageName, commentInFrom, emptyName, fromArity, namelessStage } from "../diagnostics.ts";
import { literalOf } from "../literal.ts";
import { type Built, flagWord, type Line, rangeOf, spanOf, textOf, wordOf } from "./line.ts";

export interface FromArguments {
  readonly image: IToken | undefined;
  readonly as: IToken | undefined;
  readonly stage: IToken | undefined;
  readonly surplus: readonly IToken[];
}

export function buildFrom(line: Line, { image, as, stage, surplus }: FromArguments): Built {
  const written = (token: IToken | undefined) => (token?.isInsertedInRecovery === true ? undefined : token);
  const imageToken = written(image);
  const stageToken = written(stage);
  const [first] = surplus;
  if (imageToken === undefined) return void line.report(fromArity(line.node.keyword.range));
  if (first !== undefined) {
    const range = rangeOf(line, { ...spanOf(first), end: line.span.end });
    if (first.image.startsWith("#")) return void line.report(commentInFrom(range));
    return void line.report(fromArity(range, as === undefined ? meantBy(imageToken.image, surplus) : undefined));
  }
  if (as !== undefined && stageToken === undefined) {
    return void line.report(namelessStage(as.image, imageToken.image, rangeOf(line, spanOf(as))));
  }
  const word = wordOf(line, spanOf(imageToken));
  if (literalOf(word) === "") line.report(emptyName("FROM", word.range));
  const platform = flagWord(line, "--platform");
  const stageNameText = stageToken === undefined ? undefined : textOf(line, spanOf(stageToken));
  if (stageToken !== undefined && stageNameText !== undefined && !isStageName(stageNameText)) {
    line.report(badStageName(stageNameText, rangeOf(line, spanOf(stageToken))));
  }
  return {
    kind: "from",
    ...line.node,
    image: word,
    ...(platform === undefined ? {} : { platform }),
    ...(stageNameText === undefined || stageToken === undefined
      ? {}
      : {
          stageName: stageNameText.toLowerCase(),
          stageNameText,
          stageNameRange: rangeOf(line, spanOf(stageToken)),
        }),
    ...(as === undefined ? {} : { asText: as.image, asRange: rangeOf(line, spanOf(as)) }),
  };
}

/** What the words behind the image were meant as. */
function meantBy(image: string, [first, ...more]: readonly IToken[]): string | undefined {
  if (first === undefined) return undefined;
  const name = image.toLowerCase() === "as" ? "IMAGE" : image;
  const rest = more.map((token) => ` ${token.image}`).join("");
  if (first.image.startsWith("--")) return `FROM ${first.image} ${name}${rest}`;
  if (/^[:@]./.test(first.image)) return `FROM ${name}${first.image}${rest}`;
  return more.length === 0 && isStageName(first.image) ? `FROM ${name} AS ${first.image}` : undefined;
}

const isStageName = (text: string): boolean => /^[a-z][a-z0-9\-_.]*$/.test(text.toLowerCase());
