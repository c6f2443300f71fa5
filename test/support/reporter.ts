import type { Reporter, TestModule } from 'vitest/node';

/** Closes the run with the one plain line CI counts: `tests: N passed, N failed, N skipped`. */
export default class Tally implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const count = { passed: 0, failed: 0, skipped: 0, pending: 0 };
    for (const module of modules) {
      for (const test of module.children.allTests()) count[test.result().state]++;
      // A file that could not be loaded, or one whose process died, holds no test that says so.
      if (module.state() === 'failed' && module.errors().length > 0) count.failed++;
    }
    const failed = count.failed + count.pending + unhandledErrors.length;
    console.log(`\ntests: ${count.passed} passed, ${failed} failed, ${count.skipped} skipped`);
  }
}
