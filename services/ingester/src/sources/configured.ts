/**
 * The sources that a user's options name: directories, and the MeshConfig file with its
 * configSources.
 */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Time } from '@watershed/runtime/clock.ts';
import { OperatingError } from '@watershed/runtime/errors.ts';
import { isObject, show } from '../decode.ts';
import { meshConfigObject, meshNames } from '../kinds/core/mesh-config.ts';
import { parseChunk, splitDocuments } from '../parse/documents.ts';
import type { ParsedDocument } from '../parse/limits.ts';
import type { DocumentObjects } from '../parse/objects.ts';
import type { Source, SourceBatch } from '../source.ts';
import { FileSource, type FileTimes } from './files.ts';
import { watchFolders, type Watch } from './watch.ts';

export interface ConfiguredSources {
  /** `--configDir` */
  readonly configDirs: readonly string[];
  /** `--meshConfig` */
  readonly meshConfig: string | undefined;
  readonly time: Time;
  /** Default: the operating system's notifications. */
  readonly watch?: Watch;
  readonly times?: FileTimes;
}

/**
 * Throws an OperatingError for a MeshConfig file that is not there, or whose configSources name
 * something else than directories (`fs:///DIR`). They are read once, as in istiod; everything else
 * is read again on change.
 */
export async function configuredSources(options: ConfiguredSources): Promise<readonly Source[]> {
  const { configDirs, meshConfig, time, watch = watchFolders, times } = options;
  const common = { time, watch, ...(times === undefined ? {} : { times }) };
  const named = meshConfig === undefined ? [] : await directoriesOf(meshConfig);
  const folders = new Set([...configDirs, ...named].map((folder) => resolve(folder)));
  const sources = [...folders].map(
    (path) => new FileSource({ ...common, name: `files:${path}`, path }),
  );
  if (meshConfig === undefined) return sources;
  const path = resolve(meshConfig);
  return [new FileSource({ ...common, name: `mesh:${path}`, path, objectsOf: meshOf }), ...sources];
}

/** A document of a MeshConfig file. */
export function meshOf({ line, value }: ParsedDocument): DocumentObjects {
  return { objects: [{ line, raw: meshConfigObject(meshNames.file, value ?? {}) }], problems: [] };
}

/** What holds without a MeshConfig: one object, which nobody wrote. */
export const meshDefaults: SourceBatch = {
  source: meshNames.defaults,
  unchanged: 0,
  updates: [
    {
      unit: meshNames.defaults,
      version: '',
      problems: [],
      objects: [{ raw: meshConfigObject(meshNames.defaults, {}), line: 1 }],
    },
  ],
};

/**
 * The directories that a MeshConfig file names; none if it cannot be parsed, which is told of
 * later. Throws as `configuredSources` does.
 */
export async function directoriesOf(path: string): Promise<readonly string[]> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new OperatingError('not-found', `--meshConfig: cannot read ${path}`, { cause });
  });
  const [first] = splitDocuments(text);
  const mesh = first === undefined ? undefined : parseChunk(first.text).documents[0]?.value;
  const listed = isObject(mesh) ? (mesh['configSources'] ?? mesh['config_sources']) : undefined;
  if (!Array.isArray(listed)) return [];
  return listed.map((entry: unknown, index) => directoryOf(entry, `configSources[${index}]`));
}

function directoryOf(entry: unknown, field: string): string {
  const address = isObject(entry) ? entry['address'] : undefined;
  const url = typeof address === 'string' ? URL.parse(address) : null;
  if (url?.protocol !== 'fs:' || url.host !== '' || url.pathname.length < 2) {
    const reason = `${field}.address ${show(address)}: expected a directory as fs:///DIR`;
    throw new OperatingError('invalid', `--meshConfig: ${reason}`);
  }
  return fileURLToPath(`file://${url.pathname}`);
}
