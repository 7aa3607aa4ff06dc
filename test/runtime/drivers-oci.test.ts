import { createDriver, findRuntime } from "../../src/runtime/drivers/create-driver.ts";
import { driverSuite } from "../conformance/driver-suite.ts";

driverSuite("runc", () => createDriver("runc"), { available: findRuntime("runc") !== undefined, init: false });
