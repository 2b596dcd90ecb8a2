/** Builds what `npm run test:kube` needs, unless it is at hand: ahead of it, while other tests run. */
import { buildKubeTools } from './components/kube.ts';

await buildKubeTools();
