/** Words around and within names, and the words that look like names and are none. */
import { wordSet } from './detector.js';

export const TITLES =
  wordSet(`mr mrs ms miss mx dr prof professor sir madam herr frau señor senor señora senora sra sig signor signora mme mlle monsieur
  madame doctor sister brother aunt uncle captain lieutenant sergeant judge senator pan pani dhr mevr mevrouw meneer`);

/** Small words within a name. */
export const PARTICLES = wordSet(
  `van von der den de del della di da dos das do du la le los ten ter zu zur zum af av bin ibn al el ben abu san st mac y e i`,
);

/** Words after which a name stands, if it begins with a capital letter. */
export const BEFORE_NAME =
  wordSet(`hi hello dear hey thanks thank cheers regards sincerely says said asked told by with from to named called call calls name
  names starring featuring assistant met meet ask tell contact ping cc attn attention for and signed reviewed approved author co-authored reported`);

/** Capitalised, in prose of this trade, and not persons, though somebody may be named so. */
export const NOT_NAMES = wordSet(`
  jenkins cassandra kafka jordan austin travis ruby rails python java javascript typescript node react angular vue django flask docker helm argo istio redis mongo
  mongodb postgres mysql oracle azure amazon aws google github gitlab bitbucket jira slack teams backstage kubernetes linux ubuntu debian fedora alpine windows mac
  apple android chrome safari firefox edge opera atlas elastic logstash kibana grafana prometheus loki tempo mimir consul vault nomad terraform ansible puppet chef
  salt nagios zabbix sentry datadog splunk newrelic maven gradle ant ivy spring hibernate jasper velocity tomcat jetty apache nginx envoy traefik kong tyk
  mercury saturn jupiter venus mars apollo athena zeus hermes hera iris phoenix aurora delta alpha beta gamma omega nova luna stella ace max min sum avg mean
  monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september october november december
  mon tue wed thu fri sat sun jan feb mar apr jun jul aug sep sept oct nov dec
  north south east west northern southern eastern western central upper lower new old great big little saint santa
  street road avenue lane drive court square park place plaza way bridge hill lake river mountain valley island beach bay port fort suite apt apartment box
  building floor room hall house home office center centre club hotel school university college hospital church station airport museum library
  inc ltd llc corp corporation company group holdings partners associates bank trust fund foundation institute agency department ministry committee council
  association society union federation league team project service services system systems software solutions technologies networks labs studio media
  error warning info debug fatal trace exception null true false none undefined string number boolean object array function class method type interface enum
  user admin root guest owner member bot system server client host port api url uri http https json xml yaml html css sql id uuid key value token secret
  pull request merge branch commit push tag release version build deploy deployment pipeline workflow job step task issue ticket bug feature fix update upgrade
  create created delete deleted add added remove removed change changed open opened close closed start started stop stopped fail failed pass passed
  the a an and or but if then else when where who whom whose what which why how this that these those there here it its he she they we you i me my mine our
  ours your yours his her hers him them their us is are was were be been being am do does did done have has had having will would shall should can could may might
  must not no yes ok okay please thanks thank hi hello dear hey bye goodbye regards sincerely best kind welcome sorry well now today tomorrow yesterday
  just only also even still yet already again never ever always often sometimes usually maybe perhaps really very much many more most less least few some
  any all both each every either neither one two three four five six seven eight nine ten first second third last next previous other another same different
  in on at by for from to of off with without about above below under over between among through during before after since until while as like than so because
  although though unless whether however therefore thus hence meanwhile moreover furthermore instead otherwise besides
  go going went gone come came get got give gave take took make made see saw know knew think thought say said tell told ask asked work working call called
  try need want use used find found feel felt leave left put mean keep let begin seem help show hear play run move live believe bring happen write sit stand lose pay
  meet include continue set learn lead understand watch follow stop speak read allow spend grow walk win offer remember love consider appear buy wait serve
  die send expect stay fall cut reach kill remain suggest raise pass sell require report decide
  title date time name names address addresses phone email mobile fax account card number code zip city state country county region province language
  american english french german spanish italian dutch polish russian chinese japanese korean indian british european african asian australian canadian mexican
  internet web site page book song album film movie show music band story novel game world war life day night week month year hour minute morning evening
  man woman men women boy girl child children people person father mother son daughter brother sister husband wife family friend boss manager engineer
  president king queen prince princess lord lady sir doctor captain general colonel major minister secretary director chief officer
  god jesus christ bible mother father angel christmas easter faith hope grace joy chance rich young long short black white green brown gray grey red blue rose
  bill mark will grant frank dean art pat sue rob drew chase hunter mason carter cooper parker baker miller smith page price
  lorem ipsum dolor sit amet test demo sample example foo bar baz qux
  sales marketing support security operations platform infrastructure data analytics product design research finance legal human resources
  post put patch get options baby battery thai valid invalid postgresql mysql anthropic claude openai cloudflare principal senior junior staff
  capitalized wisdom discipline entertainment weekly public explorer`);

/** Of the words above, those that are somebody's name often enough when another name or a title stands next to them. */
export const NAMES_IN_COMPANY =
  wordSet(`jordan austin travis ruby cassandra jenkins jasper iris stella luna aurora phoenix max apollo athena april may june august
  bill mark will grant frank dean art pat sue rob drew chase hunter mason carter cooper parker baker miller smith page price rose grace hope faith joy rich young long short
  black white green brown gray grey king prince lane hill park lake rivers wood jan angel christian young church hall house street santa nova ace mercury santos lord marsh
  ivy salt love day may sun son bishop law`);

/** Verbs and other words after a capitalised word that make it a speaker or a person. */
export const SPEECH = wordSet(
  `said says asked asks told replied answered shouted whispered wrote explained added noted commented`,
);
export const AFTER_NAME =
  wordSet(`said says asked asks told replied answered shouted whispered wrote writes thinks thought believes lives lived was's is who whose has had
  listed spent signed approved reviewed commented reported joined left called phoned mentioned noted added explained`);
