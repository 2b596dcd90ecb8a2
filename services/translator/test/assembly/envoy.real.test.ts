import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeAuthority } from '../../../../test/components/certificates.ts';
import { validateWithEnvoy } from '../../../../test/components/envoy.ts';
import { staticBootstrap } from './support/bootstrap.ts';
import { goldens } from './support/golden.ts';
import { scopeOf, World } from './support/world.ts';

/** What goldens name as files of the proxy. */
const certificates = '/etc/certs';

describe('a real Envoy accepts, with no word on deprecated fields,', () => {
  let directory = '';

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'watershed-certs-'));
    const authority = makeAuthority('test');
    const names = ['spiffe://cluster.local/ns/default/sa/test'];
    const { certificate, key } = authority.issue({ commonName: 'test', names });
    await writeFile(join(directory, 'ca.pem'), authority.certificate);
    await writeFile(join(directory, 'cert.pem'), certificate);
    await writeFile(join(directory, 'key.pem'), key);
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  for (const golden of goldens()) {
    for (const [name, fields] of Object.entries(golden.scopes)) {
      // Not for Envoy: real gRPC clients take these, in proxyless.real.test.ts.
      if (scopeOf(fields).proxyless) continue;
      test(`${golden.what} (${name})`, async () => {
        const world = new World();
        world.give(...golden.given);
        const text = JSON.stringify(staticBootstrap(world.look(scopeOf(fields)), certificates));
        const { valid, output } = await validateWithEnvoy(
          text
            .replaceAll(certificates, directory)
            .replaceAll('/dev/stdout', join(directory, 'access.log')),
        );
        expect(output).not.toMatch(/deprecated/i);
        expect({ valid, output: valid ? '' : output }).toEqual({ valid: true, output: '' });
      });
    }
  }
});
