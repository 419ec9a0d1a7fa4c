/**
 * What is said about words by hand: words around and within names, and words that look like names and are none. English, German, Spanish,
 * French, Italian, Dutch, Polish, Portuguese and Russian.
 */
import { fold } from './fold.js';

function list(words: string): ReadonlySet<string> {
  return new Set(
    words
      .split(/\s+/)
      .filter((word) => word !== '')
      .map(fold),
  );
}

export const WORD_KINDS = {
  title:
    list(`mr mrs ms miss mx dr prof professor sir madam herr herrn frau señor señora señorita senora sra sr sig signor signora mme mlle
    monsieur madame doctor sister brother aunt uncle captain lieutenant sergeant judge senator pan pani dhr mevr mevrouw meneer don doña dom dona
    rabbi reverend rev senhor senhora г-н г-жа господин госпожа`),

  particle: list(
    `van von der den de del della di da das do dos du la le los ten ter zu zur zum zu af av bin ibn al el ben abu san st mac vom d`,
  ),

  speech:
    list(`said says told replied answered shouted whispered wrote writes explained added noted commented argued claimed stated asked asks
    thinks thought believes sagte sagt erklärte erklärt meinte meint betonte betont schrieb schreibt fragte antwortete berichtete berichtet forderte fordert
    kritisierte kündigte dijo dice afirmó afirma añadió señaló aseguró explicó declaró indicó manifestó subrayó comentó preguntó respondió escribió anunció
    dit déclare ajoute explique affirme répond estime disse dichiarò spiegò affermò scrisse aggiunse detto zei zegt stelde vertelde schreef vindt aldus
    powiedział powiedziała mówi stwierdził stwierdziła napisał dodał dodała diz afirmou explicou contou escreveu respondeu acrescentou
    сказал сказала заявил заявила сообщил сообщила отметил отметила добавил добавила считает говорит написал рассказал рассказала`),

  role: list(`president chancellor senator governor mayor king queen prince princess pope emperor actor actress singer writer author poet composer director
    producer player coach striker goalkeeper midfielder defender founder professor scientist philosopher historian journalist editor lawyer captain
    guitarist bassist drummer painter sculptor architect rapper comedian novelist screenwriter presenter teammate colleague neighbour neighbor
    customer client patient employee engineer
    brother sister father mother wife husband son daughter friend cousin nephew uncle aunt grandfather grandmother
    presidente presidenta ministro ministra escritor escritora actriz cantante directora entrenador jugador delantero portero alcalde rey reina príncipe
    princesa papa poeta pintor compositor profesor juez capitán hermano hermana padre madre esposa esposo marido hijo hija futbolista tenista técnico
    président présidente ministre écrivain acteur chanteur chanteuse réalisateur entraîneur joueur maire roi reine poète peintre compositeur professeur frère
    sœur père mère épouse mari fils fille presidente scrittore scrittrice attore attrice cantante regista allenatore giocatore sindaco pittore compositore
    fratello sorella moglie marito figlio figlia calciatore voorzitter schrijver acteur zanger zangeres regisseur trainer speler burgemeester koning koningin
    dichter schilder componist hoogleraar broer zus vader moeder vrouw zoon dochter prezydent premier minister pisarz aktor aktorka piosenkarz reżyser trener
    król królowa poeta malarz kompozytor brat siostra ojciec matka żona mąż syn córka escritora ator atriz cantor cantora diretor treinador jogador prefeito
    rei rainha poeta irmão irmã pai mãe esposa filho filha deputado deputada senador vereador
    präsident präsidentin bundeskanzler bundeskanzlerin kanzler kanzlerin ministerpräsident außenminister innenminister finanzminister bürgermeister trainer
    stürmer torwart sänger sängerin schauspieler schauspielerin schriftsteller schriftstellerin autor autorin regisseur regisseurin komponist maler malerin
    dichter könig königin kaiser prinz prinzessin papst bischof erzbischof graf herzog fürst professor physiker chemiker philosoph historiker journalist
    journalistin bruder schwester vater mutter sohn tochter ehefrau ehemann kollege kollegin sprecher sprecherin chef chefin
    президент президента премьер министр министра актер актриса певец певица писатель поэт режиссер тренер депутат губернатор мэр мэра директор
    генерал профессор доктор брат сестра отец мать жена муж сын дочь глава главы адвокат журналист`),

  ofAThing:
    list(`inc ltd llc corp gmbh ag kg se plc sa srl spa bv nv ab oy as co company corporation group holdings university universität universidad université
    università universiteit universidade college school schule hospital clinic church kirche museum library institute institut instituto istituto foundation
    stiftung fundación academy akademie street road avenue lane drive boulevard square bridge park stadium stadion estadio airport station river lake mountain
    valley island islands bay beach county city town village district province state kingdom republic empire union league liga cup championship open prize
    award awards festival orchestra band records studios studio theatre theater press times post news journal magazine review party team club fc cf ac sc
    party act law treaty war battle treaty film movie album tour show series conference summit council committee commission ministry department agency bank
    airlines airways motors systems software technologies labs cloud platform api server framework dashboard operator controller cluster pipeline
    actions pages enterprise studio code engine manager desktop`),

  article:
    list(`der die das den dem des ein eine einer eines einem einen kein keine keinen keinem im am zum zur vom beim ins ans sein seine seiner seinem seinen
    ihr ihre ihrer ihrem ihren unser unsere dieser diese dieses diesem diesen jeder jede jedes jedem jeden mein meine meinen meiner the an this that these those
    his her its their our your my every each`),

  /** Places that are known better than the persons who are called so. */
  city: list(`paris london sydney florence milan madison troy charlotte lincoln jackson houston dallas denver austin phoenix orlando savannah adelaide geneva
    valencia roma vienna verona sofia georgia virginia carolina dakota montana nevada alexandria kent essex chester lancaster york cambridge israel jordan chad
    kenya china india america asia brooklyn bronx bristol berlin münchen munich hamburg köln wien zürich madrid barcelona lisboa porto santiago bogotá lima
    victoria regina washington columbus memphis cleveland richmond salem boston aurora toledo córdoba granada león mérida salvador santos natal belém
    torino napoli genova bologna modena parma lyon nancy lourdes vichy holland england france wales ireland scotland austria persia odessa chelsea everton
    holstein sachsen hessen bayern schweiz`),

  /** Behind a name: degrees and the like. */
  behindName: list(`md dds phd dvm jr sr esq ii iii iv mba dphil msc bsc`),

  /** Words that are in German text, and hardly in any other. */
  german: list(
    `der die das und ist nicht mit auf für von den dem ein eine einer einem einen wurde sich auch als bei nach wird werden sind im zum zur aus dass`,
  ),

  stop: list(`der die das den dem des ein eine einer eines einem einen er sie es wir ihr ich du man und oder aber doch denn wenn als ob weil dass da dann dort
    hier so auch nur noch nicht kein keine mit ohne nach vor bei seit von zu zum zur im in am an auf aus um über unter durch für gegen bis trotz während wegen
    zwischen dabei damit dafür dagegen daher daran darauf daraus darin darüber darum dazu deshalb deswegen trotzdem jedoch zwar sowie sowohl ist sind war
    waren wird werden wurde wurden hat haben hatte hatten kann können konnte soll sollte muss müssen diese dieser dieses diesem diesen jene jeder jede jedes
    alle alles beide viele einige mehrere manche wer was wo wie warum wann welche welcher ihm ihn ihnen sein seine seiner seinem seinen ihre ihrer ihrem
    ihren unser unsere uns mir mich dich sich heute gestern morgen jetzt bereits später früher zunächst zuerst zuletzt schließlich insgesamt etwa rund laut
    allerdings außerdem zudem inzwischen mittlerweile gleichzeitig sogar immer nie oft ja nein ab erst neben hinter nun weder eben schon wieder einmal
    el la los las un una unos unas de del al y e o u pero mas más aunque si sí no que cuando donde como porque pues ya en con sin por para sobre entre hasta
    desde contra según durante ante bajo tras este esta esto estos estas ese esa eso esos esas aquel aquella su sus mi mis tu tus nuestro nuestra lo le les
    se me te nos es son era eran fue fueron ser están estaba hay ha han había tiene tienen puede pueden también además así entonces luego después antes
    ahora hoy ayer siempre nunca muy mucho muchos poco todo toda todos todas otro otra otros cada alguno alguna algunos ningún uno dos tres primero primera
    mientras quien quienes cual cuales ella ellos ellas usted ustedes yo nosotros aún tal tales cualquier
    les une des du au aux et ou mais donc or ni car qui quoi dont quand comme lorsque puisque dans sur sous avec sans pour par vers chez depuis pendant
    après avant contre selon malgré ce cet cette ces son sa ses mon ma mes ton ta tes notre nos votre vos leur leurs il elle ils elles on nous vous je lui
    est sont était étaient fut furent sera ont avait avaient ainsi aussi alors puis ensuite enfin cependant toutefois néanmoins pourtant tout toute tous toutes
    autre autres plusieurs quelques certains aucun chaque même déjà encore toujours jamais ici aujourd hui hier demain ceux celui celle
    gli uno di dello della dei degli delle allo alla ai agli alle dal dalla dai nel nello nella nei nelle sul sulla sui tra fra ed ma se che chi cui
    quando dove perché poiché anche non più già ancora sempre mai questo questa questi queste quello quella quelli suo sua suoi sue mio mia nostro loro lui
    lei noi voi io egli essa essi si ci ne erano fu furono sono stato hanno aveva avevano dopo prima secondo verso senza sotto sopra inoltre infine tuttavia
    così quindi poi oggi ieri domani tutto tutti tutte ogni altro altri
    het een of want dus dat dit deze op aan met zonder voor na bij tot uit onder door tegen tussen tijdens sinds volgens naar om te zijn wordt worden werd
    werden heeft hebben kan kunnen kon zal zullen zou moet moeten mag hij zij ze wij we jij je ik men er daar waar wat wie hoe waarom wanneer welke haar hun
    ons onze mijn jouw ook nog niet geen al veel meer meest andere sommige enkele vele toch echter daarna daarom dan nu vandaag gisteren later eerst vervolgens
    w z i a na do od po za pod nad przed przy dla bez oraz ale lub albo czy że jak gdy kiedy gdzie ponieważ bo jest są był była było byli były będzie będą ma
    mają miał miała może mogą on ona ono oni one ja ty my wy jego jej ich swój swoja ten to te ci tego tej tym tych który która które którzy co kto nie tak
    też także również już jeszcze tylko bardzo wszystkie każdy inny inne podczas według obecnie następnie potem później
    os as um uma uns umas em nas ao aos pelo pela pelos pelas com sem até apos após nem quando onde pois embora enquanto esses essas isso isto aquele
    seu sua seus suas meu minha nosso nossa ele ela eles elas eu você vocês lhe eram foi foram são estão tem tinha pode podem também ainda já não sim só
    muito muitos pouco outra outros alguns algumas nenhum depois agora hoje ontem amanhã assim então porém contudo
    в во на с со к ко и а но или что как когда где если то же бы не ни да нет из за от до по под над при про для без между через после перед о об у он она
    оно они мы вы я ты его её их наш ваш мой этот эта это эти тот та те такой который которая которые кто чем чтобы потому поэтому также тоже ещё уже только
    даже все всё весь вся был была было были есть будет может можно надо так там здесь тут теперь сейчас тогда однако кроме среди согласно около вместе сегодня
    вчера завтра россия россии москва москвы январь февраль март апрель май июнь июль август сентябрь октябрь ноябрь декабрь понедельник вторник среда
    januar februar märz mai juni juli oktober dezember montag dienstag mittwoch donnerstag freitag samstag sonntag enero febrero marzo abril mayo
    junio julio agosto septiembre octubre noviembre diciembre lunes martes miércoles jueves viernes sábado domingo janvier février mars avril juin juillet
    août septembre octobre novembre décembre lundi mardi mercredi jeudi vendredi samedi dimanche gennaio febbraio aprile maggio giugno luglio settembre
    ottobre dicembre lunedì martedì mercoledì giovedì venerdì sabato domenica januari februari maart mei augustus maandag dinsdag woensdag donderdag vrijdag
    zaterdag zondag styczeń luty marzec kwiecień maj czerwiec lipiec sierpień wrzesień październik listopad grudzień janeiro fevereiro março maio junho julho
    setembro outubro novembro dezembro ende anfang mitte mio mrd dios deus gott dieu dies esse essa intussen ondertussen allen bent jazeker groot mil`),

  noName:
    list(`boot mesh ingress egress vault runner agent broker proxy queue topic stream shard replica snapshot backup restore rollout rollback canary probe
    sidecar daemon cron lambda bucket registry artifact package module plugin hook schema index query cache buffer thread socket cookie header payload response retry
    timeout latency alert incident outage runbook dashboard panel metric trace span log level role policy rule quota limit usage billing invoice order cart checkout
    refund payment catalog scaffolder template techdocs kotlin scala perl rust swift dart elixir erlang haskell clojure julia ada lua nim zig crystal elm groovy
    fortran pascal brexit iguana jammy bookworm focal noble
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
  royal babel helena ascension dev deps tristan capitalized wisdom discipline entertainment weekly public explorer`),

  inCompany:
    list(`ada julia crystal pascal noble jordan austin travis ruby cassandra jenkins jasper iris stella luna aurora phoenix max apollo athena april may june august
  bill mark will grant frank dean art pat sue rob drew chase hunter mason carter cooper parker baker miller smith page price rose grace hope faith joy rich young long short
  black white green brown gray grey king prince lane hill park lake rivers wood jan angel christian young church hall house street santa nova ace mercury santos lord marsh
  ivy salt love day may sun son bishop law dan ella mia mai una sol al jo ann ed`),
} as const;
