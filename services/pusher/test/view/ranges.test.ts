import { expect, test } from 'vitest';
import { rangesOf } from '../../src/view/ranges.ts';

test.each([
  [[], ''],
  [[3], '3'],
  [[0, 1, 2, 3, 7, 9, 10], '0-3, 7, 9-10'],
])('%j is written %j', (numbers, expected) => {
  expect(rangesOf(numbers)).toBe(expected);
});
