/**
 * The .proto files of others: pinned, fetched with the clients of their registries (Maven Central,
 * the Go module proxy), checked against a digest and kept outside the repository, so that a second
 * run is offline.
 */
import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './run.ts';

interface MavenSource {
  readonly artifact: string;
  readonly sha256: string;
  /** Folders and files of the jar that are wanted. */
  readonly paths: readonly string[];
}

interface GoSource {
  readonly module: string;
  readonly version: string;
  /** As in go.sum. */
  readonly sum: string;
  /** Folder of the module → folder of the tree . */
  readonly paths: Readonly<Record<string, string>>;
}

/** A tree of .proto files that import each other by their paths in it. */
export interface Tree {
  readonly name: string;
  readonly maven: readonly MavenSource[];
  readonly go: readonly GoSource[];
}

const plugin = 'org.apache.maven.plugins:maven-dependency-plugin:2.8';

export const envoyTree: Tree = {
  name: 'envoy',
  maven: [
    {
      artifact: 'io.envoyproxy.controlplane:api:1.0.49',
      sha256: 'cbac9ac918071e132c552100f6c26978346116205d8f93a2efe5050049c1cc6e',
      paths: ['cel', 'envoy', 'google', 'io', 'opentelemetry', 'udpa', 'validate', 'xds'],
    },
    {
      artifact: 'io.grpc:grpc-services:1.68.1',
      sha256: '43b4cca51788ad219eb8e688cf646f35ba41118a5d2a38281d7cfcc73927d947',
      paths: ['grpc/health/v1', 'grpc/reflection/v1', 'grpc/reflection/v1alpha'],
    },
  ],
  go: [],
};

export const istioTree: Tree = {
  name: 'istio',
  maven: [],
  go: [
    {
      module: 'istio.io/api',
      version: 'v1.29.1',
      sum: 'h1:dSure3CSur+mRZYvTYRUNgR/P+TYO5ItlPk1lUu4rU8=',
      paths: {
        analysis: 'analysis',
        'common-protos/google/api/field_behavior.proto': 'google/api/field_behavior.proto',
        mesh: 'mesh',
        meta: 'meta',
        networking: 'networking',
        security: 'security',
        type: 'type',
      },
    },
    {
      // Its releases are not on the module proxy; this is a commit of its main branch.
      module: 'istio.io/istio',
      version: 'v0.0.0-20260827124520-eed52ebb66ad',
      sum: 'h1:ui9TJjRMAV/hb5ehQaZDq7IUGxuQP6dra9lapT/VjHI=',
      paths: { 'pkg/workloadapi': 'workloadapi' },
    },
  ],
};

/**
 * The tree's folder below `cache`, fetched unless it is there.
 *
 * @throws Error when a digest is not the pinned one
 */
export async function fetchTree(tree: Tree, cache: string): Promise<string> {
  const key = createHash('sha256').update(JSON.stringify(tree)).digest('hex').slice(0, 16);
  const root = join(cache, `${tree.name}-${key}`);
  if (await exists(root)) return root;

  const work = `${root}.${process.pid}`;
  await mkdir(work, { recursive: true });
  try {
    for (const source of tree.maven) await addMaven(source, work);
    for (const source of tree.go) await addGo(source, work);
    await rename(join(work, 'tree'), root);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return root;
}

async function addMaven(source: MavenSource, work: string): Promise<void> {
  const folder = join(work, 'maven', source.artifact.replaceAll(':', '_'));
  const options = [
    '--batch-mode',
    '--quiet',
    `-Dartifact=${source.artifact}`,
    `-DoutputDirectory=${folder}`,
    '-Dmdep.unpack.includes=**/*.proto',
  ];
  await run('mvn', [...options, `${plugin}:copy`, `${plugin}:unpack`], { cwd: work });
  const [, name, version] = source.artifact.split(':');
  const jar = await readFile(join(folder, `${name}-${version}.jar`));
  check(source.artifact, source.sha256, createHash('sha256').update(jar).digest('hex'));
  for (const path of source.paths) await copyProtos(join(folder, path), join(work, 'tree', path));
}

async function addGo(source: GoSource, work: string): Promise<void> {
  const target = `${source.module}@${source.version}`;
  const answer = await run('go', ['mod', 'download', '-json', target], { cwd: work });
  const module: unknown = JSON.parse(answer);
  check(target, source.sum, text(module, 'Sum'));
  const dir = text(module, 'Dir');
  for (const [from, to] of Object.entries(source.paths)) {
    await copyProtos(join(dir, from), join(work, 'tree', to));
  }
}

function text(json: unknown, name: string): string {
  const value = new Map<string, unknown>(Object.entries(json ?? {})).get(name);
  if (typeof value !== 'string') throw new Error(`no ${name} in what go printed`);
  return value;
}

function check(what: string, expected: string, actual: string): void {
  if (expected === actual) return;
  throw new Error(`${what}: digest ${actual} is not the pinned ${expected}`);
}

/** Folders are kept writable: the Go module cache's are not. */
async function copyProtos(from: string, to: string): Promise<void> {
  await cp(from, to, {
    recursive: true,
    filter: async (path) => (await stat(path)).isDirectory() || path.endsWith('.proto'),
  });
  await run('chmod', ['-R', 'u+w', to], {});
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
