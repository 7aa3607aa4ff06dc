/** What a random case is made of; its name and that both builders must agree come from `random-cases.ts`. */
import type { ParityCase } from "../../fixtures/parity/case.ts";

export type Draft = Omit<ParityCase, "name" | "outcome">;
