import { describe, expect, test } from 'vitest';
import { parts } from './support/parts.ts';
import { goldens, outcome, update } from './support/golden.ts';
import { World } from './support/world.ts';

describe('assembly and generators', () => {
  for (const golden of goldens()) {
    test(golden.what, () => {
      const actual = outcome(golden, new World(parts));
      if (process.env['UPDATE_GOLDEN'] === '1') update(golden, actual);
      else expect(JSON.parse(JSON.stringify(actual))).toEqual(golden.expected);
    });
  }
});
