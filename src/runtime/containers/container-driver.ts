import type { Driver } from "../driver.ts";

/** The driver of that name, loaded when it is needed. */
export async function containerDriver(name: string): Promise<Driver> {
  const { createDriver } = await import("../drivers/create-driver.ts");
  return createDriver(name);
}
