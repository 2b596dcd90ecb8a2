/** What the configSources of a MeshConfig file name: directories, as `fs:///DIR`. */
import { fileURLToPath } from 'node:url';
import { isObject, show } from '../../decode.ts';
import type { Problem } from '../../kind.ts';

export interface ConfigSources {
  readonly directories: readonly string[];
  /** Those that name something else; what is no list of objects is told of by who decodes it. */
  readonly problems: readonly Problem[];
}

export function configSourcesOf(mesh: unknown): ConfigSources {
  const name = isObject(mesh) && 'config_sources' in mesh ? 'config_sources' : 'configSources';
  const listed = isObject(mesh) ? mesh[name] : undefined;
  if (!Array.isArray(listed)) {
    // A file that is cut off there ends like that.
    const problems = listed === null ? [wrong(name, listed, 'expected a list')] : [];
    return { directories: [], problems };
  }
  const directories: string[] = [];
  const problems: Problem[] = [];
  for (const [index, entry] of listed.entries()) {
    if (!isObject(entry)) continue;
    const { address } = entry;
    const directory = directoryOf(address);
    const field = `${name}[${index}].address`;
    if (directory !== undefined) directories.push(directory);
    else problems.push(wrong(field, address, 'expected a directory as fs:///DIR'));
  }
  return { directories, problems };
}

function directoryOf(address: unknown): string | undefined {
  const url = typeof address === 'string' ? URL.parse(address) : null;
  if (url?.protocol !== 'fs:' || url.host !== '' || url.pathname.length < 2) return undefined;
  try {
    return fileURLToPath(`file://${url.pathname}`);
  } catch {
    return undefined;
  }
}

function wrong(field: string, value: unknown, reason: string): Problem {
  return { severity: 'error', field, value: show(value), reason };
}
