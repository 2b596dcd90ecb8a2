import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Held } from '../../../src/server/h2/held.ts';

const part = fc.oneof(
  fc.constantFrom(0, 1, 4_095, 4_096, 4_097, 16_384),
  fc.integer({ min: 0, max: 100 }),
);

it('what is held is handed on whole and in order, as far as it is wanted', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(part, fc.boolean()), { maxLength: 60 }),
      fc.array(fc.nat(3), { minLength: 1, maxLength: 10 }),
      (steps, wants) => {
        const held = new Held();
        const came: Buffer[] = [];
        const got: Buffer[] = [];
        let turn = 0;
        for (const [bytes, handsOn] of steps) {
          const one = Buffer.alloc(bytes, came.length + 1);
          came.push(Buffer.from(one));
          held.append(one);
          // It is valid during the call only.
          one.fill(0xff);
          let left = wants[turn++ % wants.length] ?? 0;
          if (!handsOn) continue;
          held.handOn(
            (some) => got.push(Buffer.from(some)),
            () => left-- > 0,
          );
        }
        expect(
          held.handOn(
            (some) => got.push(Buffer.from(some)),
            () => true,
          ),
        ).toBe(true);
        expect(Buffer.concat(got).equals(Buffer.concat(came))).toBe(true);
      },
    ),
  );
});

it('parts of a byte take no more memory than parts of a page', () => {
  const held = new Held();
  for (let i = 0; i < 65_535; i++) held.append(Buffer.from('a'));
  let parts = 0;
  held.handOn(
    () => parts++,
    () => true,
  );
  expect(parts).toBe(16);
});
