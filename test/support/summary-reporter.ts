/** Ends the output with the tests that did not run, each by name, and one line of counts. */
import { writeFileSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";

export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const counts = { passed: 0, failed: 0, skipped: 0, pending: 0 };
    const skipped: string[] = [];
    for (const module of modules) {
      let ran = 0;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        counts[state] += 1;
        ran += 1;
        if (state === "skipped") skipped.push(`${module.relativeModuleId} > ${test.fullName}`);
      }
      // A file that could not be read has no tests.
      if (ran === 0 && module.state() === "failed") counts.failed += 1;
    }
    // Errors outside of any test, such as what the teardown found.
    counts.failed += errors.length;
    if (skipped.length > 0) {
      process.stdout.write(`\n${skipped.length} skipped, for what this machine lacks:\n`);
      for (const name of skipped) process.stdout.write(`  ${name}\n`);
    }
    const line = `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
    process.stdout.write(`\n${line}\n`);
    const file = process.env["TSBUILD_TEST_SUMMARY"];
    if (file !== undefined) writeFileSync(file, `${line}\n`);
  }
}
