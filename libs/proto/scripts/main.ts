/**
 * `npm run proto`: TypeScript of every message that we exchange. `npm run proto:check`: fails when
 * what is checked in is not what this makes.
 */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { postprocess } from './postprocess.ts';
import { run } from './run.ts';
import { envoyTree, fetchTree, istioTree } from './sources.ts';

const repository = resolve(import.meta.dirname, '../../..');
const bin = (name: string): string => join(repository, 'node_modules/.bin', name);

/**
 * One call of ts-proto: a tree of .proto files, the types wanted of it, the folder of the output.
 */
interface Pass {
  readonly input: string;
  /** Undefined: all of the input. */
  readonly roots?: readonly string[];
  /** Options of fields that nothing here reads; without them their files are not reachable. */
  readonly excluded?: readonly string[];
  readonly output: string;
  readonly comments: boolean;
  /** A FileDescriptorSet of the same types, and of more, for reflection. */
  readonly descriptors?: { readonly output: string; readonly more: readonly string[] };
}

const options = [
  'esModuleInterop=true',
  'importSuffix=.ts',
  // Type stripping knows no enums.
  'enumsAsLiterals=true',
  'oneof=unions-value',
  // No 64-bit integer that we read or write is beyond 2^53; decoding a larger one throws.
  'forceLong=number',
  'useDate=false',
  'useExactTypes=false',
  'outputServices=none',
];

async function passes(): Promise<Pass[]> {
  const home = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const cache = join(home, 'watershed', 'proto');
  const roots = join(import.meta.dirname, '../roots');
  return [
    { input: join(repository, 'libs/model/schema'), output: 'libs/model/src/gen', comments: true },
    {
      input: await fetchTree(envoyTree, cache),
      roots: await readRoots(join(roots, 'envoy.txt')),
      excluded: ['envoy.annotations', 'udpa.annotations', 'validate', 'xds.annotations.v3'],
      output: 'libs/proto/src/gen',
      comments: false,
      descriptors: {
        output: 'libs/proto/src/gen/descriptors.binpb',
        more: await readRoots(join(roots, 'services.txt')),
      },
    },
    {
      input: await fetchTree(istioTree, cache),
      roots: await readRoots(join(roots, 'istio.txt')),
      excluded: ['google.api'],
      output: 'libs/proto/src/gen/istio',
      comments: false,
      descriptors: { output: 'libs/proto/src/gen/istio/descriptors.binpb', more: [] },
    },
  ];
}

async function readRoots(path: string): Promise<string[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

/** buf leaves out what no root reaches, so a file that is written is a file that is needed. */
async function generate(pass: Pass, target: string): Promise<void> {
  const output = join(target, pass.output);
  const { roots: types, excluded: exclude_types } = pass;
  const template = {
    version: 'v2',
    inputs: [{ directory: pass.input, types, exclude_types }],
    plugins: [
      {
        local: bin('protoc-gen-ts_proto'),
        out: output,
        strategy: 'all',
        include_imports: true,
        opt: [...options, `comments=${pass.comments}`],
      },
    ],
  };
  await run(bin('buf'), ['generate', '--template', JSON.stringify(template)], { cwd: pass.input });
  for (const path of await files(output, '.ts')) {
    const file = join(output, path);
    await writeFile(file, postprocess(path, await readFile(file, 'utf8')));
  }
  const { descriptors, input, roots: all = [] } = pass;
  if (descriptors === undefined) return;
  await describe(input, [...all, ...descriptors.more], join(target, descriptors.output));
}

async function describe(cwd: string, roots: readonly string[], file: string): Promise<void> {
  const types = roots.map((root) => `--type=${root}`);
  const args = ['build', '--as-file-descriptor-set', '--exclude-source-info', ...types];
  await mkdir(dirname(file), { recursive: true });
  await run(bin('buf'), [...args, '-o', file], { cwd });
}

async function files(folder: string, suffix: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true }).catch(() => []);
  return entries.filter((entry) => entry.endsWith(suffix)).sort();
}

async function differences(outputs: readonly string[], fresh: string): Promise<string[]> {
  const all = new Set<string>();
  for (const base of [repository, fresh]) {
    for (const output of outputs) {
      for (const suffix of ['.ts', '.binpb']) {
        for (const path of await files(join(base, output), suffix)) all.add(join(output, path));
      }
    }
  }
  const read = (path: string): Promise<string> => readFile(path, 'base64').catch(() => '');
  const different: string[] = [];
  for (const path of [...all].sort()) {
    const [kept, made] = [await read(join(repository, path)), await read(join(fresh, path))];
    if (kept !== made) different.push(path);
  }
  return different;
}

async function main(check: boolean): Promise<void> {
  const outputs = ['libs/model/src/gen', 'libs/proto/src/gen'];
  const fresh = await mkdtemp(join(tmpdir(), 'watershed-proto-'));
  try {
    for (const pass of await passes()) await generate(pass, fresh);
    const different = await differences(outputs, fresh);
    if (check && different.length > 0) {
      console.error(`Not what \`npm run proto\` makes:\n  ${different.join('\n  ')}`);
      process.exitCode = 1;
    }
    if (check) return;
    for (const output of outputs) {
      await rm(join(repository, output), { recursive: true, force: true });
      await cp(join(fresh, output), join(repository, output), { recursive: true });
    }
    console.log(`${different.length} files changed`);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

await main(process.argv.includes('--check'));
