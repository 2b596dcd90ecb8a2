import { describe, expect, test } from 'vitest';
import { parseAside } from '../src/parse/aside.ts';
import { parseChunk, splitDocuments } from '../src/parse/documents.ts';
import { defaultLimits } from '../src/parse/limits.ts';
import { parseFile, type ParsedFile, type ParseOptions } from '../src/parse/objects.ts';

const object = (name: string): string =>
  `apiVersion: v1\nkind: Thing\nmetadata:\n  name: ${name}\n`;

function summary({ objects, problems }: ParsedFile): { objects: string[]; problems: string[] } {
  return {
    objects: objects.map(({ raw, line }) => `${String(raw.metadata['name'])}:${line}`),
    problems: problems.map(({ line, reason }) => `${line}: ${reason}`),
  };
}

async function parse(text: string, options?: ParseOptions) {
  return summary(await parseFile(text, options));
}

describe('documents', () => {
  test('several in one file, with the line where each begins', async () => {
    const text = `# first\n${object('a')}---\n${object('b')}--- # third\n\n${object('c')}`;
    expect(await parse(text)).toEqual({ objects: ['a:2', 'b:7', 'c:13'], problems: [] });
  });

  test('empty ones, comments, directives and byte order marks are nothing', async () => {
    const text = `\uFEFF%YAML 1.2\n---\n# only a comment\n---\n\n---\n${object('a')}---\n...\n`;
    expect(await parse(text)).toEqual({ objects: ['a:7'], problems: [] });
    expect(await parse('')).toEqual({ objects: [], problems: [] });
  });

  test('JSON, one document or a List', async () => {
    const a = { apiVersion: 'v1', kind: 'Thing', metadata: { name: 'a' } };
    const b = { apiVersion: 'v1', kind: 'Thing', metadata: { name: 'b' } };
    expect((await parse(JSON.stringify(a, undefined, '\t'))).objects).toEqual(['a:1']);
    const listed = { apiVersion: 'v1', kind: 'List', items: [a, b, null] };
    expect((await parse(JSON.stringify(listed, undefined, 2))).objects).toEqual(['a:5', 'b:12']);
    const things = { ...listed, kind: 'ThingList', metadata: { resourceVersion: '1' } };
    expect((await parse(JSON.stringify(things))).objects).toEqual(['a:1', 'b:1']);
  });

  test('a marker inside a block of text, indented, is text', async () => {
    const text = `${object('a')}data: |\n  ---\n  x\n---\n${object('b')}`;
    const { objects } = await parseFile(text);
    expect(objects[0]?.raw['data']).toBe('---\nx\n');
    expect(objects).toHaveLength(2);
  });

  test('Windows line ends are line ends', async () => {
    const text = `${object('a')}---\n${object('b')}`.replaceAll('\n', '\r\n');
    expect(await parse(text)).toEqual({ objects: ['a:1', 'b:6'], problems: [] });
  });

  test('numbers and booleans are as YAML 1.2 reads them: yes and on are text', async () => {
    const { objects } = await parseFile(`${object('a')}data: { a: yes, b: on, c: true, d: 0x10 }`);
    expect(objects[0]?.raw['data']).toEqual({ a: 'yes', b: 'on', c: true, d: 16 });
  });

  test('anchors, aliases and merge keys are expanded', async () => {
    const text = `${object('a')}x: &x { b: 1 }\ny: { <<: *x, c: 2 }\nz: *x\n`;
    const { objects } = await parseFile(text);
    expect(objects[0]?.raw).toMatchObject({ y: { b: 1, c: 2 }, z: { b: 1 } });
  });
});

describe('what is malformed', () => {
  test.each([
    ['an open bracket', 'a: [1, 2', /BAD_INDENT|MISSING_CHAR/],
    ['an open quote', 'a: "b\nc: d', /MISSING_CHAR/],
    ['a wrong indentation', 'a:\n  b: 1\n c: 2', /./],
    ['a tab as indentation', 'a:\n\tb: 1', /TAB_AS_INDENT/],
    ['a key that is written twice', 'a: 1\na: 2', /"a" is written twice/],
    ['a key that is written twice in JSON', '{"b": {"a": 1, "a": 2}}', /"a" is written twice/],
    ['an alias of nothing', 'a: *nope', /Unresolved alias [^:]*$/],
    ['an unknown tag', 'a: !secret b', /tag/],
    ['a bare word', 'hello', /expected an object/],
    ['a list at the top', '- a\n- b', /expected an object/],
    ['a key that somebody took for a document', '-----BEGIN PRIVATE KEY-----', /found 27 char/],
    ['a tag of nobody', 'a: !private x', /Unresolved tag [^:]*$/],
    ['no kind', 'apiVersion: v1\nmetadata: { name: a }', /no kind/],
    ['no name', 'apiVersion: v1\nkind: A\nmetadata: {}', /the A has no metadata.name/],
    ['metadata that is no object', 'apiVersion: v1\nkind: A\nmetadata: 3', /no metadata.name/],
    ['no apiVersion', 'kind: A\nmetadata: { name: a }', /A "a" has no apiVersion/],
    [
      'a name that is no text',
      'apiVersion: v1\nkind: A\nmetadata: { name: 5 }',
      /the A has a metadata.name that is no string: 5/,
    ],
    ['a kind that is a list', 'apiVersion: v1\nkind: [A]', /has a kind that is no string/],
  ])('%s is told of with its line, and spoils no other document', async (_, bad, reason) => {
    const text = `${object('a')}---\n${bad}\n---\n${object('b')}`;
    const { objects, problems } = await parse(text);
    expect(objects.map((found) => found.split(':')[0])).toEqual(['a', 'b']);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(reason);
    expect(Number(problems[0]?.split(':')[0])).toBeGreaterThanOrEqual(6);
  });

  test('the line of an error is that of the file', async () => {
    const text = `${object('a')}---\n${object('b')}  name: again\n`;
    expect((await parse(text)).problems[0]).toBe('10: the key "name" is written twice');
  });

  test('items of a List that are no objects are told of, the others are read', async () => {
    const item = object('a').replaceAll('\n', '\n  ');
    const list = `apiVersion: v1\nkind: List\nitems:\n- 5\n- ${item}`;
    const { objects, problems } = await parse(list);
    expect(objects).toEqual(['a:5']);
    expect(problems).toEqual(['4: expected an object, found 5']);
  });
});

describe('bounds', () => {
  test('a bomb of aliases is refused in no time', async () => {
    let text = 'a: &a [x, x, x, x, x, x, x, x, x]\n';
    for (let code = 98; code < 107; code++) {
      const [name, before] = [String.fromCharCode(code), String.fromCharCode(code - 1)];
      text += `${name}: &${name} [${Array.from({ length: 9 }, () => `*${before}`).join(', ')}]\n`;
    }
    const { objects, problems } = await parse(`${text}---\n${object('b')}`);
    expect(objects).toEqual(['b:12']);
    expect(problems[0]).toMatch(/aliases/);
  });

  test('one long text that is aliased often is refused', async () => {
    const aliases = Array.from({ length: 500 }, () => '*a').join();
    const text = `a: &a ${'x'.repeat(100_000)}\nb: [${aliases}]`;
    expect((await parse(text)).problems[0]).toMatch(/aliases/);
  });

  test.each([
    ['brackets', '['.repeat(10_000) + ']'.repeat(10_000)],
    ['braces', '{a: '.repeat(10_000) + '}'.repeat(10_000)],
    ['dashes', `${'- '.repeat(10_000)}a`],
    ['JSON', `{"a":`.repeat(10_000)],
  ])('nesting without end by %s is refused', async (_, deep) => {
    const { objects, problems } = await parse(`a: ${deep}\n---\n${object('b')}`);
    expect(objects).toHaveLength(1);
    expect(problems).toHaveLength(1);
  });

  test('a document that is too large is refused, the one after it is read', async () => {
    const text = `a: ${'x'.repeat(defaultLimits.documentChars)}\n---\n${object('b')}`;
    const { objects, problems } = await parse(text);
    expect(objects).toEqual(['b:3']);
    expect(problems[0]).toMatch(/more than/);
  });

  test('many keys cost no more each than few', async () => {
    const keys = Array.from({ length: 10_000 }, (_, index) => `  k${index}: 1`).join('\n');
    const { objects } = await parseFile(`${object('a')}data:\n${keys}\n`);
    expect(objects[0]?.raw['data']).toMatchObject({ k0: 1, k9999: 1 });
  });

  test('too many documents are refused together', async () => {
    const text = `${object('a')}---\n`.repeat(3);
    const limits = { ...defaultLimits, documents: 2 };
    expect(await parse(text, { limits })).toEqual({
      objects: [],
      problems: ['0: the file has 3 documents, more than 2'],
    });
  });

  test('keys of every object are keys like others', async () => {
    const { objects } = await parseFile(`${object('a')}__proto__: { polluted: true }\n`);
    expect(Object.hasOwn(objects[0]?.raw ?? {}, '__proto__')).toBe(true);
    expect('polluted' in {}).toBe(false);
  });
});

test('documents that did not change are not parsed again, wherever they are now', async () => {
  const first = await parseFile(`${object('a')}---\n${object('b')}`);
  const second = await parseFile(`# moved\n\n${object('new')}---\n${object('b')}`, {
    known: first.chunks,
  });
  const b = (file: ParsedFile): unknown => file.objects[1]?.raw;
  expect(b(second)).toBe(b(first));
  expect(summary(second).objects).toEqual(['new:3', 'b:8']);
});

test('splitting counts lines without losing any text', () => {
  const text = 'a\n---\nb\nc\n--- d\n---e\n';
  expect(splitDocuments(text)).toEqual([
    { line: 1, text: 'a\n' },
    { line: 2, text: '\nb\nc\n' },
    { line: 5, text: ' d\n---e\n' },
  ]);
});

test('a large document of YAML holds nothing up while it is parsed, and gives the same', async () => {
  const lines = Array.from({ length: 6_000 }, (_, at) => `  key-${at}: "${'x'.repeat(50)}"`);
  const text = [
    'kind: ConfigMap',
    'apiVersion: v1',
    'metadata: { name: large }',
    'data:',
    ...lines,
  ];
  const source = text.join('\n');
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  try {
    const limits = { ...defaultLimits, documentChars: source.length };
    const parsed = await parseFile(source, { limits, aside: parseAside });
    expect(turns).toBeGreaterThan(3);
    expect(parsed).toEqual(await parseFile(source, { limits }));
    expect([...parsed.chunks.values()]).toEqual([parseChunk(source, limits)]);
    expect(parsed.objects).toHaveLength(1);
  } finally {
    clearInterval(timer);
  }
});

test('a large document that is malformed is told of as any other', async () => {
  const broken = `data: [${`${'x'.repeat(50)}, `.repeat(6_000)}`;
  const { objects, problems } = await parseFile(broken, { aside: parseAside });
  expect(objects).toEqual([]);
  expect(problems).toEqual((await parseFile(broken)).problems);
});
