/**
 * The sources that a user's options name: directories, and the MeshConfig file with those that it
 * names.
 */
import { resolve } from 'node:path';
import type { Time } from '@watershed/runtime/clock.ts';
import { meshConfigObject, meshNames } from '../kinds/core/mesh-config.ts';
import type { Source, SourceBatch } from '../source.ts';
import { directorySource, type FileTimes } from './files.ts';
import { MeshSource } from './mesh.ts';
import { watchFolders, type Watch } from './watch.ts';

export interface ConfiguredSources {
  /** `--configDir` */
  readonly configDirs: readonly string[];
  /** `--meshConfig` */
  readonly meshConfig: string | undefined;
  readonly time: Time;
  /** Default: the operating system's notifications. */
  readonly watch?: Watch;
  readonly times?: FileTimes | undefined;
}

export function configuredSources(options: ConfiguredSources): readonly Source[] {
  const { configDirs, meshConfig, time, watch = watchFolders, times } = options;
  const common = { time, watch, times };
  const except = meshConfig === undefined ? undefined : resolve(meshConfig);
  const folders = new Map(
    configDirs.map((folder) => {
      const path = resolve(folder);
      return [path, directorySource(path, { ...common, except })];
    }),
  );
  if (except === undefined) return [...folders.values()];
  const mesh = new MeshSource({ ...common, path: except, others: folders });
  return [mesh, ...folders.values()];
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
