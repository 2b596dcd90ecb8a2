import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchEnvoy } from 'xdsctl/components/envoy-fetch.ts';
import {
  startEnvoy,
  validateEnvoy,
  type Envoy,
  type EnvoyOptions,
  type Validation,
} from 'xdsctl/components/envoy.ts';
import { testCache, testProgress } from './cache.ts';

/** The Envoy that tests run; `version` for comparisons with an older one. */
function testEnvoyBinary(version?: string): Promise<string> {
  return fetchEnvoy({
    cache: testCache,
    progress: testProgress,
    ...(version === undefined ? {} : { version }),
  });
}

export interface TestEnvoyOptions extends Partial<EnvoyOptions> {
  readonly bootstrap: object | string;
  readonly version?: string;
}

/** An Envoy in a temporary directory of its own. */
export interface TestEnvoy extends AsyncDisposable {
  readonly envoy: Envoy;
  /** Stops it and removes the directory. */
  stop(): Promise<void>;
}

export async function startTestEnvoy(options: TestEnvoyOptions): Promise<TestEnvoy> {
  const directory = await mkdtemp(join(tmpdir(), 'watershed-envoy-'));
  const { version, ...rest } = options;
  const binary = options.binary ?? (await testEnvoyBinary(version));
  const envoy = await startEnvoy({ directory, ...rest, binary });
  const stop = async (): Promise<void> => {
    await envoy.stop();
    await rm(directory, { recursive: true, force: true });
  };
  return { envoy, stop, [Symbol.asyncDispose]: stop };
}

/** Envoy's own opinion of a bootstrap. */
export async function validateWithEnvoy(
  bootstrap: object | string,
  version?: string,
): Promise<Validation> {
  const directory = await mkdtemp(join(tmpdir(), 'watershed-validate-'));
  try {
    return await validateEnvoy({ binary: await testEnvoyBinary(version), bootstrap, directory });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
