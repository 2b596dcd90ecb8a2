import { join } from 'node:path';
import { expect, it } from 'vitest';
import { goldens, outcome } from '../harness.ts';

for (const golden of goldens(join(import.meta.dirname, 'golden'))) {
  it(`${golden.title} (${golden.name})`, () => {
    const output = outcome(golden.input);
    if (process.env['UPDATE_GOLDENS'] === '1') golden.save(output);
    else expect(output).toBe(golden.expected);
  });
}
