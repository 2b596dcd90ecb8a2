/** istiod's names: dashboards, access logs and habits read them. */

/** `outbound|80|v1|reviews.default.svc.cluster.local` */
export function clusterName(
  direction: 'outbound' | 'inbound',
  port: number,
  subset: string,
  host: string,
): string {
  return `${direction}|${port}|${subset}|${host}`;
}
