/**
 * `RUN --device=`: the name of a device in the Container Device Interface, and whether it must be there.
 * Source: Dockerfile reference, "RUN --device".
 */
import { nearestWord } from "../../nearest-word.ts";
import type { DeviceFlag, Range } from "../ast.ts";
import { badDevice, unknownDeviceOption } from "../diagnostics.ts";
import { parseGoBoolean } from "../directives.ts";
import { type MappedText, rangeIn } from "../mapped-text.ts";
import { csvFields } from "./csv-fields.ts";
import type { Line } from "./line.ts";

/** `vendor.com/class`, alone, with a name or class behind `=`, or with `*` for all of them. */
const deviceName = /^[A-Za-z](?:[\w.-]*[A-Za-z0-9])?\/[A-Za-z](?:[\w-]*[A-Za-z0-9])?(?:=.*)?$/;

/** Undefined when something is wrong with it, and then that is reported. */
export function parseDevice(line: Line, value: MappedText, range: Range): DeviceFlag | undefined {
  const fields = csvFields(value);
  if (fields === undefined) return void line.report(badDevice("the quotes in --device do not close", range));
  let name: string | undefined;
  let required = false;
  for (const field of fields) {
    const fieldRange = rangeIn(field, 0, field.text.length);
    const equals = field.text.indexOf("=");
    const key = (equals < 0 ? field.text : field.text.slice(0, equals)).toLowerCase();
    const text = equals < 0 ? undefined : field.text.slice(equals + 1);
    if (key === "required") {
      const boolean = text === undefined ? true : parseGoBoolean(text);
      if (boolean === undefined)
        return void line.report(badDevice(`required is ${text}, but must be true or false`, fieldRange));
      required = boolean;
    } else if (key === "name" && text !== undefined) {
      if (name !== undefined) return void line.report(badDevice(`the device already has the name ${name}`, fieldRange));
      name = text;
    } else if (name === undefined) name = field.text;
    else return void line.report(unknownDeviceOption(key, fieldRange, nearestWord(key, ["name", "required"])));
  }
  if (name === undefined || !deviceName.test(name))
    return void line.report(badDevice(`${name || "nothing"} is no name of a device`, range));
  return { name, required, range };
}
