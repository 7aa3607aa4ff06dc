import { createDriver } from "../../src/runtime/drivers/create-driver.ts";
import { driverSuite } from "../conformance/driver-suite.ts";

driverSuite("native", () => createDriver("native"), { available: true, init: true });
