import { describe, expect, test } from 'vitest';
import { goldens, outcome, update } from './support/golden.ts';
import { World } from './support/world.ts';

describe('assembly and generators', () => {
  for (const golden of goldens()) {
    test(golden.what, () => {
      const actual = outcome(golden, new World());
      if (process.env['UPDATE_GOLDEN'] === '1') update(golden, actual);
      else expect(JSON.parse(JSON.stringify(actual))).toEqual(golden.expected);
    });
  }
});
