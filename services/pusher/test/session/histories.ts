import { CDS, EDS, LDS, RDS, type Content } from './support.ts';
import type { Step } from './model-steps.ts';

type History = [first: Content, script: Step[]];

/** One cluster, of that version, and a listener that leads there. */
function only(name: string, version: string): Content {
  return {
    [CDS]: { [name]: version },
    [EDS]: { [name]: '1' },
    [LDS]: { l: `${name}@1` },
    [RDS]: {},
  };
}

/** It breaks off as it warms `a`, and is given the assignment of another version of that. */
function givenAnew(version: string): Step[] {
  return [
    { kind: 'broken', contents: [only('a', '3'), only('a', version)] },
    { kind: 'request' },
    { kind: 'write' },
    { kind: 'response' },
  ];
}

/** What once went wrong, by the client's mode. */
export const histories: Readonly<Record<'delta' | 'sotw', History[]>> = {
  delta: [
    // What comes back as it was, after the client only said that it had it.
    [
      { [CDS]: { a: '1' }, [EDS]: { a: '1' }, [LDS]: { l: 'a@1' }, [RDS]: {} },
      [
        {
          kind: 'cut',
          content: {
            [CDS]: { a: '1', b: '2' },
            [EDS]: { a: '1', b: '3' },
            [LDS]: { l: 'a@1' },
            [RDS]: {},
          },
          late: false,
        },
        {
          kind: 'broken',
          contents: [
            { [CDS]: { b: '1' }, [EDS]: { b: '1' }, [LDS]: { l: 'b@1' }, [RDS]: {} },
            { [CDS]: { a: '1' }, [EDS]: { a: '1' }, [LDS]: { l: 'a@1' }, [RDS]: {} },
          ],
        },
        {
          kind: 'cut',
          content: { [CDS]: { b: '2' }, [EDS]: { b: '3' }, [LDS]: { l: 'b@1' }, [RDS]: {} },
          late: false,
        },
        { kind: 'request' },
        { kind: 'write' },
      ],
    ],
    // An assignment that is the same again by the time that it can be sent.
    [
      { [CDS]: { a: '1' }, [EDS]: { a: '1' }, [LDS]: { l: 'a@1' }, [RDS]: {} },
      [
        {
          kind: 'broken',
          contents: [
            {
              [CDS]: { d: '1', a: '1' },
              [EDS]: { a: '1', d: '1' },
              [LDS]: { l: 'a@1' },
              [RDS]: {},
            },
            { [CDS]: { d: '3' }, [EDS]: { d: '2' }, [LDS]: { l: 'd@1' }, [RDS]: {} },
          ],
        },
        { kind: 'request' },
        { kind: 'write' },
        {
          kind: 'cut',
          content: {
            [CDS]: { d: '3', a: '1' },
            [EDS]: { a: '1', d: '1' },
            [LDS]: { l: 'a@1' },
            [RDS]: {},
          },
          late: false,
        },
        { kind: 'response' },
        { kind: 'reconnect' },
        { kind: 'request' },
        { kind: 'write' },
        { kind: 'request' },
        {
          kind: 'cut',
          content: { [CDS]: { d: '3' }, [EDS]: { d: '2' }, [LDS]: { l: 'd@1' }, [RDS]: {} },
          late: false,
        },
      ],
    ],
    // What is owed is gone by the time that it can be sent.
    [
      { [CDS]: { a: '1' }, [EDS]: { a: '1' }, [LDS]: { l: 'a@1' }, [RDS]: {} },
      [
        {
          kind: 'cut',
          content: { [CDS]: { a: '3' }, [EDS]: { a: '1' }, [LDS]: { l: 'a@1' }, [RDS]: {} },
          late: false,
        },
        {
          kind: 'broken',
          contents: [
            {
              [CDS]: { a: '1', c: '1' },
              [EDS]: { a: '1', c: '1' },
              [LDS]: { l: 'a@1' },
              [RDS]: {},
            },
            { [CDS]: { d: '1' }, [EDS]: { d: '1' }, [LDS]: { l: 'd@1' }, [RDS]: {} },
          ],
        },
        {
          kind: 'cut',
          content: { [CDS]: { a: '1' }, [EDS]: { a: '1' }, [LDS]: { l: 'a@1' }, [RDS]: {} },
          late: false,
        },
        { kind: 'request' },
        { kind: 'write' },
        { kind: 'follow' },
        { kind: 'write' },
        {
          kind: 'cut',
          content: { [CDS]: { d: '1' }, [EDS]: { d: '1' }, [LDS]: { l: 'd@1' }, [RDS]: {} },
          late: false,
        },
      ],
    ],
    // It warms a cluster and says that it has its assignment, which the replica lacks at first.
    [
      only('a', '1'),
      [
        ...givenAnew('1'),
        {
          kind: 'part',
          lacks: [[EDS, 'a']],
          ...{ isKnown: false, isOld: false, remembers: false, rests: true },
        },
      ],
    ],
    // Its cluster is not there and kept, and is there again as it was before the client's.
    [
      only('a', '1'),
      [
        ...givenAnew('2'),
        { kind: 'cut', content: only('c', '1'), late: false },
        {
          kind: 'part',
          lacks: [[RDS, 's']],
          ...{ isKnown: false, isOld: false, remembers: false, rests: true },
        },
        { kind: 'cut', content: only('a', '2'), late: false },
      ],
    ],
  ],
  sotw: [
    // It comes back with a version that this replica never had.
    [
      { [CDS]: { a: '1' }, [EDS]: { a: '1' }, [LDS]: { l: 'a@1' }, [RDS]: {} },
      [
        { kind: 'rest' },
        {
          kind: 'cut',
          content: {
            [CDS]: { b: '1', a: '1' },
            [EDS]: { a: '1', b: '1' },
            [LDS]: { l: 'a@1' },
            [RDS]: {},
          },
          late: true,
        },
        { kind: 'follow' },
        { kind: 'write' },
        {
          kind: 'cut',
          content: { [CDS]: { a: '3' }, [EDS]: { a: '1' }, [LDS]: { l: 'a@1' }, [RDS]: {} },
          late: false,
        },
        { kind: 'response' },
        { kind: 'reconnect' },
      ],
    ],
    // It has an assignment of before its cluster came.
    [
      {
        [CDS]: { c: '1', d: '3', a: '1', b: '1' },
        [EDS]: { a: '1', b: '1', c: '1', d: '3' },
        [LDS]: { l: 'a@1' },
        [RDS]: {},
      },
      [
        { kind: 'rest' },
        {
          kind: 'cut',
          content: {
            [CDS]: { d: '1', a: '1' },
            [EDS]: { a: '1', d: '1' },
            [LDS]: { l: 'a@1' },
            [RDS]: {},
          },
          late: false,
        },
        { kind: 'follow' },
        { kind: 'write' },
        {
          kind: 'cut',
          content: { [CDS]: { a: '1' }, [EDS]: { a: '3' }, [LDS]: { l: 'a@1' }, [RDS]: {} },
          late: false,
        },
        { kind: 'follow' },
        {
          kind: 'cut',
          content: {
            [CDS]: { a: '1', d: '3' },
            [EDS]: { a: '1', d: '3' },
            [LDS]: { l: 'a@1' },
            [RDS]: {},
          },
          late: false,
        },
        { kind: 'write' },
      ],
    ],
    // It still asks for what it has dropped.
    [
      {
        [CDS]: { c: '2', b: '1', a: '1' },
        [EDS]: { a: '1', b: '1', c: '3' },
        [LDS]: { l: 'c@1' },
        [RDS]: {},
      },
      [
        { kind: 'rest' },
        {
          kind: 'cut',
          content: { [CDS]: { c: '2' }, [EDS]: { c: '3' }, [LDS]: { l: 'c@1' }, [RDS]: {} },
          late: false,
        },
        { kind: 'follow' },
        { kind: 'write' },
        {
          kind: 'cut',
          content: { [CDS]: { a: '1' }, [EDS]: { a: '1' }, [LDS]: { l: 'a@1' }, [RDS]: {} },
          late: false,
        },
      ],
    ],
  ],
};
