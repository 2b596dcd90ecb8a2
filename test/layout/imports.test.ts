import { expect, test } from 'vitest';
import { packages, rooms, roomTests, type Grant, type Room } from './rooms.ts';
import { importsOf, isGenerated, projectFiles, textOf, type Import } from './sources.ts';

const files = projectFiles().filter((path) => path.endsWith('.ts') && /\//u.test(path));
const written = files.filter((path) => !isGenerated(path));
const imports = new Map(written.map((path) => [path, importsOf(path)]));

/** The room of a file; `<room>/test` is a room of its own that sees what `<room>/src` sees. */
function roomOf(path: string): Room | undefined {
  const own = longest(path);
  if (own !== undefined) return own;
  const tested = /^(.*?)\/test\//u.exec(path)?.[1];
  const subject = tested === undefined ? undefined : longest(`${tested}/src/`);
  if (subject === undefined) return undefined;
  const may: readonly Grant[] = [
    ...subject.may.filter((grant) => grant.from === undefined && grant.only === undefined),
    { room: subject.path },
    { room: `${subject.path}/generators` },
    { room: `${tested}/scripts` },
    ...roomTests,
  ];
  return { path: `${tested}/test`, may, node: true };
}

function longest(path: string): Room | undefined {
  return rooms
    .filter((room) => path.startsWith(`${room.path}/`))
    .sort((a, b) => b.path.length - a.path.length)[0];
}

function grants(room: Room, path: string, { typesOnly, target }: Import): boolean {
  if (room.all === true || isOwnManifest(path, target.name)) return true;
  const there = roomOf(target.name);
  if (there === undefined) return false;
  if (there.path === room.path) return true;
  return room.may.some(
    (grant) =>
      there.path === grant.room &&
      (grant.typesOnly !== true || typesOnly) &&
      (grant.only === undefined || grant.only.test(target.name)) &&
      (grant.from === undefined || grant.from.test(path)),
  );
}

function isOwnManifest(path: string, target: string): boolean {
  return (
    target.endsWith('/package.json') && path.startsWith(target.slice(0, -'package.json'.length))
  );
}

function broken(check: (room: Room, path: string, found: Import) => boolean): readonly string[] {
  const wrong: string[] = [];
  for (const [path, all] of imports) {
    const room = roomOf(path);
    for (const found of all) {
      const fine = room === undefined || check(room, path, found);
      if (!fine) wrong.push(`${path} → ${found.specifier}`);
    }
  }
  return wrong;
}

test('every file is in a room', () => {
  expect(files.filter((path) => roomOf(path) === undefined)).toEqual([]);
});

test('no file leads back to itself, by types either: there is one to read first', () => {
  const state = new Map<string, 'open' | 'done'>();
  const circles: string[] = [];
  const visit = (path: string, way: readonly string[]): void => {
    state.set(path, 'open');
    for (const { target } of imports.get(path) ?? []) {
      const seen = state.get(target.name);
      const on = [...way, target.name];
      if (seen === 'open') circles.push(on.slice(on.indexOf(target.name)).join(' → '));
      else if (seen === undefined && imports.has(target.name)) visit(target.name, on);
    }
    state.set(path, 'done');
  };
  for (const path of imports.keys()) if (!state.has(path)) visit(path, [path]);
  expect(circles).toEqual([]);
});

test('every import leads to a file', () => {
  expect(broken((_room, _path, { target }) => target.kind !== 'nothing')).toEqual([]);
});

test('a room imports only the rooms of its row', () => {
  expect(
    broken((room, path, found) => found.target.kind !== 'file' || grants(room, path, found)),
  ).toEqual([]);
});

test('a package is imported only by the files that are there to know it', () => {
  expect(
    broken((room, path, { target }) => {
      if (target.kind !== 'package') return true;
      const where = packages[target.name];
      if (where !== undefined) return where.some((pattern) => pattern.test(path));
      return target.name.startsWith('node:') && mayUseNode(room, path);
    }),
  ).toEqual([]);
});

function mayUseNode({ node }: Room, path: string): boolean {
  return node === true || (node !== undefined && node.test(path));
}

test('no service imports another: only what composes them does', () => {
  const service = (path: string): string | undefined => /^services\/([^/]+)\//u.exec(path)?.[1];
  expect(
    broken((_room, path, { target }) => {
      const from = service(path);
      const to = service(target.name);
      return from === undefined || to === undefined || from === to;
    }),
  ).toEqual([]);
});

/** Everything that is loaded when `path` is. */
function loaded(path: string, seen = new Map<string, string>(), by = ''): Map<string, string> {
  if (seen.has(path)) return seen;
  seen.set(path, by);
  const all = imports.get(path) ?? (isGenerated(path) ? [] : importsOf(path));
  for (const { typesOnly, target } of all) {
    if (typesOnly) continue;
    if (target.kind === 'file') loaded(target.name, seen, path);
    else seen.set(target.name, path);
  }
  return seen;
}

/** Without what is read for a type of its own: those plans are assembly. */
const generators = written.filter(
  (path) =>
    path.startsWith('services/translator/src/generators/') && !/\/\w+\/plan\.ts$/u.test(path),
);

test('what a generator loads, directly or not, can read no clock, disk, network or environment', () => {
  const impure = /^(?:node:|libs\/(?:log|blob|runtime|derive)\/|services\/(?!translator\/))/u;
  const wrong = generators.flatMap((path) =>
    [...loaded(path)].filter(([name]) => impure.test(name)).map(([name, by]) => `${by} → ${name}`),
  );
  expect([...new Set(wrong)]).toEqual([]);
});

test('a generator, and what it loads of the translator, names no global that differs from call to call', () => {
  const global =
    /\b(?:process|performance|crypto|console|globalThis|setTimeout|setInterval|setImmediate|queueMicrotask)\s*[.(]|\bnew Date\b|\bDate\.|\bMath\.random\b|\bfetch\(/u;
  const reached = generators.flatMap((path) => [...loaded(path).keys()]);
  const own = new Set(
    reached.filter((path) => /^(?:services|libs\/(?:model|derive))\//u.test(path)),
  );
  const wrong = [...own].filter((path) => !isGenerated(path) && global.test(codeOf(path)));
  expect(wrong).toEqual([]);
});

/** Without comments: they may speak of clocks. */
function codeOf(path: string): string {
  return textOf(path).replaceAll(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gmu, '');
}

/** What only tests load, on purpose. */
const forTests = new Set(['libs/runtime/src/virtual-time.ts']);

test('every source file is part of a program', () => {
  // A benchmark forks its clients and servers, so that each has a process of its own to measure;
  // what is named `…-worker` is run in a thread.
  const programs =
    /\/(?:src\/(?:main|demo|cluster|.*-worker)|scripts\/main)\.ts$|^bench\/src\/[^/]+\/(?:main|client|server|pool|relay)\.ts$/u;
  const reached = new Set<string>();
  const walk = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const { target } of imports.get(path) ?? []) if (target.kind === 'file') walk(target.name);
  };
  for (const path of written) if (programs.test(path)) walk(path);
  const idle = written.filter((path) => /\/src\//u.test(path) && !reached.has(path));
  expect(idle.filter((path) => !forTests.has(path))).toEqual([]);
});

test('every room of the table exists', () => {
  const all = projectFiles();
  const empty = rooms.filter((room) => !all.some((path) => path.startsWith(`${room.path}/`)));
  expect(empty.map((room) => room.path)).toEqual([]);
});
