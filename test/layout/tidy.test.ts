import { posix } from 'node:path';
import { expect, test } from 'vitest';
import { topLevel } from './rooms.ts';
import { isGenerated, projectFiles, textOf } from './sources.ts';

const all = projectFiles();
const code = all.filter((path) => path.endsWith('.ts') && !isGenerated(path));
const texts = all.filter(
  (path) => /\.(?:ts|md|json|ya?ml|proto|sh)$/u.test(path) && !isGenerated(path),
);

const maxLineLength = 100;
const maxLines = 400;
const maxTestLines = 800;

function isTest(path: string): boolean {
  return /(?:^|\/)(?:test|bench)\//u.test(path);
}

function lines(path: string): readonly string[] {
  return textOf(path).split('\n');
}

/** A text or a pattern that cannot be broken does not count; oxfmt breaks everything else. */
function lengthOf(line: string): number {
  const literals = line.match(/(['"`/])(?:\\.|(?!\1).)*\1[a-z]*|https?:\/\/\S+/gu) ?? [];
  const longest = Math.max(0, ...literals.map((literal) => literal.length));
  return longest > 40 ? line.length - longest : line.length;
}

test('nothing stands at the top that was not meant to', () => {
  const unknown = all.map((path) => path.split('/')[0] ?? '').filter((name) => !topLevel.has(name));
  expect([...new Set(unknown)]).toEqual([]);
});

test('no file is longer than can be read at once', () => {
  const long = code.filter(
    (path) => lines(path).length - 1 > (isTest(path) ? maxTestLines : maxLines),
  );
  expect(long).toEqual([]);
});

test('no line is longer than the page', () => {
  const long = code.flatMap((path) =>
    lines(path).flatMap((line, at) =>
      lengthOf(line) > maxLineLength ? [`${path}:${at + 1}`] : [],
    ),
  );
  expect(long).toEqual([]);
});

test('a file is named for what it holds', () => {
  const vague = /(?:^|\/)(?:index|util|utils|helper|helpers|misc|common|shared)\.ts$/u;
  expect(code.filter((path) => vague.test(path))).toEqual([]);
  expect(code.filter((path) => !/^[a-z0-9./-]+$/u.test(path))).toEqual([]);
});

test('a file of Kafka, Redis, Kubernetes or HTTP/2 is in the room that knows it', () => {
  const places: readonly (readonly [RegExp, RegExp])[] = [
    [/kafka/u, /^(?:libs\/log|cli|test|bench|k8s|docs|examples|standalone)\//u],
    [/redis/u, /^(?:libs\/blob|cli|test|bench|k8s|docs)\//u],
    [/(?:^|[/-])(?:k8s|kube)/u, /^(?:services\/ingester|test|bench|k8s|docs|examples)\//u],
    [/http2|grpc/u, /^(?:services\/pusher|test|bench|docs|libs\/proto)\//u],
  ];
  const wrong = places.flatMap(([name, place]) =>
    code.filter((path) => name.test(path.split('/').slice(1).join('/')) && !place.test(path)),
  );
  expect(wrong).toEqual([]);
});

test('a number is one decision, and a link leads to a file', () => {
  const decisions = all.filter((path) => path.startsWith('docs/decisions/'));
  const numbers = decisions.map((path) => path.split('/').at(-1)?.slice(0, 4));
  expect([...new Set(numbers)]).toEqual(numbers);
  const broken = all
    .filter((path) => path.endsWith('.md'))
    .flatMap((path) =>
      [...textOf(path).matchAll(/\]\((?!https?:|#)([^)#]+)/gu)]
        .map(([, to = '']) => posix.join(posix.dirname(path), to).replace(/\/$/u, ''))
        .filter((to) => !all.some((one) => one === to || one.startsWith(`${to}/`)))
        .map((to) => `${path} → ${to}`),
    );
  expect(broken).toEqual([]);
});

test('nothing is left for later', () => {
  const marks = /\b(?:TODO|FIXME|XXX|HACK|TBD)\b/u;
  const left = texts.filter((path) => !path.startsWith('test/layout/') && marks.test(textOf(path)));
  expect(left).toEqual([]);
});

test('no test is skipped, focused or left empty', () => {
  const tests = code.filter((path) => path.endsWith('.test.ts'));
  const marks = /\b(?:test|it|describe)\.(?:skip|only|todo|skipIf|runIf|fails)\b/u;
  expect(
    tests.filter((path) => marks.test(textOf(path)) && !path.endsWith('tidy.test.ts')),
  ).toEqual([]);
});

test('nothing in the repository depends on the place where it was made', () => {
  const place = /\/work\/|\/home\/|\.\.\/shared\b/u;
  const wrong = all.filter(
    (path) =>
      /\.(?:ts|json|ya?ml|sh|md)$/u.test(path) && !isGenerated(path) && place.test(textOf(path)),
  );
  expect(wrong.filter((path) => path !== 'test/layout/tidy.test.ts')).toEqual([]);
});

test('a file ends with one line feed and has no trailing blanks', () => {
  const ragged = code.filter((path) => {
    const text = textOf(path);
    return !text.endsWith('\n') || text.endsWith('\n\n') || /[ \t]+$/mu.test(text);
  });
  expect(ragged).toEqual([]);
});

test('the lock file has every platform, also those that the machine it was made on lacks', () => {
  const lock = JSON.parse(textOf('package-lock.json')) as {
    readonly packages: Readonly<Record<string, { optionalDependencies?: Record<string, string> }>>;
  };
  const places = Object.keys(lock.packages);
  const missing = Object.values(lock.packages)
    .flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}))
    .filter((name) => !places.some((place) => place.endsWith(`node_modules/${name}`)));
  // Without them `npm ci` refuses to install anything, here as well.
  expect(missing).toEqual([]);
});

test('what npm starts to stay takes the place of its shell, which would keep signals to itself', () => {
  const { scripts } = JSON.parse(textOf('package.json')) as {
    readonly scripts: Readonly<Record<string, string>>;
  };
  const kept = Object.entries(scripts).filter(
    ([name, command]) =>
      /^(?:start(?::.*)?|demo|cluster)$/u.test(name) &&
      !/^(?:\w+=\S+ )*exec node --import \.\/libs\/runtime\/node-24\.mjs /u.test(command),
  );
  expect(kept).toEqual([]);
});

test('npm ci warns of no package on the Node that a user has: what runs is the Node 24 that it brings', () => {
  const { packages } = JSON.parse(textOf('package-lock.json')) as {
    readonly packages: Readonly<
      Record<string, { readonly engines?: { readonly node?: string }; readonly optional?: true }>
    >;
  };
  const newer = Object.entries(packages).filter(
    ([, { engines, optional }]) =>
      optional !== true && /^>=? ?v?2[1-9][^|]*$/u.test(engines?.node?.split('||')[0] ?? ''),
  );
  // Take the `engines` of these out of package-lock.json; npm leaves them out from then on.
  expect(newer.map(([name]) => name)).toEqual([]);
});
