import { afterAll, beforeAll, expect, it } from 'vitest';
import { runGoTool } from '../../../../test/components/go-tool.ts';
import { CDS } from '../session/support.ts';
import { nodeId } from '../support/client.ts';
import { scopeOfNode } from '../support/scope.ts';
import { run, type Running } from '../support/world.ts';

const tool = {
  name: 'grpcurl',
  version: '1.9.3',
  package: 'github.com/fullstorydev/grpcurl/cmd/grpcurl',
};

let running: Running;

beforeAll(async () => {
  running = await run();
  const scope = scopeOfNode();
  await running.translator.publish({ [CDS]: { a: '1' } }, { [scope.id]: scope.scopeClass });
});

afterAll(() => running.stop());

async function grpcurl(...args: readonly string[]): Promise<string> {
  const all = ['-plaintext', ...args];
  const { status, stdout, stderr } = await runGoTool(tool, all, { timeoutMs: 20_000 });
  if (status !== 0) throw new Error(stderr);
  return stdout;
}

it('grpcurl lists what is served, and reads resources, with nothing but reflection', async () => {
  const at = `127.0.0.1:${running.port}`;
  const listed = await grpcurl(at, 'list');
  expect(listed).toContain('envoy.service.discovery.v3.AggregatedDiscoveryService');
  const described = await grpcurl(at, 'describe', 'envoy.config.cluster.v3.Cluster');
  expect(described).toContain('message Cluster {');
  const request = JSON.stringify({ node: { id: nodeId } });
  const method = 'envoy.service.cluster.v3.ClusterDiscoveryService/FetchClusters';
  const fetched: unknown = JSON.parse(await grpcurl('-d', request, at, method));
  expect(fetched).toMatchObject({ resources: [{ '@type': CDS, name: 'a' }] });
  await expect(grpcurl(at, 'envoy.service.none.v3.None/Fetch')).rejects.toThrow('None');
});
