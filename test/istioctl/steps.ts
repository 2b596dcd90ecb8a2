/** What istioctl is asked to do, and what is to be said of it. */
export interface Step {
  /** Behind `istioctl`. */
  readonly command: string;
  readonly says: string;
}

const plain = '--xds-address 127.0.0.1:15010 --plaintext -r default';
const secure =
  '--xds-address 127.0.0.1:15012 --authority istiod.istio-system.svc -r default --cert-dir';

export const steps: readonly Step[] = [
  {
    command: `proxy-status ${plain}`,
    says: 'Who is connected. ISTIOD is the name of the process that was asked, VERSION what the proxy says of itself (`ISTIO_VERSION` in its metadata; a stock Envoy says nothing).',
  },
  {
    command: `proxy-status -v 1 ${plain}`,
    says: 'Each type of each proxy. As in istiod, the age is that of the last push.',
  },
  {
    command: `proxy-status edge-1.shop --file envoy.json ${plain}`,
    says: 'The difference between what we say that a proxy has and what its Envoy says (`config_dump` of its admin port, here from a file, since without Kubernetes istioctl cannot reach it). istioctl finds none.',
  },
  {
    command: `proxy-status ${secure} certs/istio-system`,
    says: 'Over TLS, with a certificate of `istio-system/default`.',
  },
  {
    command: `proxy-status ${secure} certs/shop`,
    says: 'The same with a certificate of `shop/default`, which may not. Istiod shows such a caller the proxies of its own namespace; here only operators (accounts of istio-system and of `DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES`, and this machine in plaintext) see anything.',
  },
  {
    command: `experimental version ${plain}`,
    says: 'The versions of the control plane and of the proxies.',
  },
  {
    command: `experimental internal-debug --list ${plain}`,
    says: 'The pages that there are, of all parts that run in the process that is asked.',
  },
  {
    command: `experimental internal-debug syncz?namespace=shop ${plain}`,
    says: 'A page over xDS. Beyond istiod’s fields: `scope`, `epoch`, `synced`, and what was refused.',
  },
  {
    command: `experimental internal-debug edsz?proxyID=edge-1.shop ${plain}`,
    says: 'The endpoints that one proxy has.',
  },
  {
    command: `experimental internal-debug registryz ${plain}`,
    says: 'The services, as istiod tells them.',
  },
  {
    command: `experimental internal-debug endpointShardz ${plain}`,
    says: 'Their endpoints, by service, namespace and cluster.',
  },
  {
    command: `experimental internal-debug mesh ${plain}`,
    says: 'The settings that hold.',
  },
  {
    command: `experimental internal-debug clusterz ${plain}`,
    says: 'The clusters whose ingesters write to the log (`istioctl remote-clusters` asks the same of all control planes that Kubernetes tells it of).',
  },
  {
    command: `experimental internal-debug cachez?sizes=true ${plain}`,
    says: 'Bytes of encoded resources that are in memory.',
  },
  {
    command: `experimental internal-debug config_dump?proxyID=nobody ${plain}`,
    says: 'A proxy that is not connected here.',
  },
  {
    command: `experimental internal-debug sidecarz ${plain}`,
    says: 'A page that there is not: istioctl finds out, and lists what there is.',
  },
  {
    command: 'proxy-config cluster --file ours.json',
    says: 'From here on, files: `ours.json` is `/debug/config_dump?proxyID=edge-1.shop&include_eds`. DESTINATION RULE stays empty: istiod names the rule in the metadata of the cluster, which is bytes in each cluster that nothing else reads; `/debug/config_dump` shows its effect.',
  },
  { command: 'proxy-config listener --file ours.json', says: 'Listeners.' },
  {
    command: 'proxy-config route --file ours.json',
    says: 'Routes. VIRTUAL SERVICE stays empty for the same reason.',
  },
  {
    command: 'proxy-config secret --file ours.json',
    says: 'Secrets: names only, where a proxy has any. Neither certificates nor keys are opened for a page.',
  },
  {
    command: 'proxy-config endpoint --file clusters.json',
    says: 'Endpoints are read from `/clusters?format=json` of an Envoy, never from a control plane.',
  },
];
