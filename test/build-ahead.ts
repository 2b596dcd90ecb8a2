/** Builds what `npm run test:slow` needs, unless it is at hand: ahead of it, while other tests run. */
import { buildJaeger } from './components/jaeger.ts';
import { buildKubeTools } from './components/kube.ts';

await buildJaeger();
await buildKubeTools();
