/** Names that are frequent somewhere and not in the locale data that the lexicon is made of. */
import { fold } from './fold.js';

function list(words: string): ReadonlySet<string> {
  return new Set(
    words
      .split(/\s+/)
      .filter((word) => word !== '')
      .map(fold),
  );
}

export const COMMON_GIVEN_NAMES = list(`
  james john robert michael william david richard joseph thomas charles christopher daniel matthew anthony donald steven paul andrew joshua kenneth kevin brian george
  edward ronald timothy jason jeffrey ryan jacob gary nicholas eric jonathan stephen larry justin scott brandon benjamin samuel gregory patrick alexander jack dennis jerry
  tyler aaron jose henry adam douglas nathan peter zachary kyle walter ethan jeremy harold keith christian roger noah gerald carl terry sean arthur lawrence jesse dylan bryan
  joe jordan billy bruce albert willie gabriel logan alan juan wayne roy ralph randy eugene vincent russell louis bobby philip johnny bradley neil nigel graham clive trevor
  mary patricia jennifer linda elizabeth barbara susan jessica sarah karen lisa nancy betty margaret sandra ashley kimberly emily donna michelle carol amanda dorothy melissa
  deborah stephanie rebecca sharon laura cynthia kathleen amy angela shirley anna brenda pamela emma nicole helen samantha katherine christine debra rachel carolyn janet
  catherine maria heather diane ruth julie olivia joyce virginia victoria kelly lauren christina joan evelyn judith megan andrea cheryl hannah jacqueline martha gloria teresa
  ann sara madison frances kathryn janice jean abigail alice julia judy sophia grace denise amber doris marilyn danielle beverly isabella theresa diana natalie brittany
  charlotte marie kayla alexis lori fiona gillian siobhán saoirse niamh aoife ciara oisín eoin cillian seamus padraig declan conor ronan
  jürgen günter günther uwe horst manfred rainer detlef jens torsten thorsten steffen holger axel ulrich ulrike sabine petra monika brigitte ursula renate helga ingrid gisela
  karin heike anja katja silke birgit kerstin bettina anneliese wolfgang hartmut ekkehard volker rüdiger gerd gerhard heinz helmut werner walther hildegard gertrud waltraud
  björn jörg jochen götz matthias andreas stefan stephan tobias sebastian florian maximilian moritz felix lukas jonas niklas finn leon elias jakob
  josé maría juan carlos luis miguel ángel antonio francisco javier manuel jesús rafael pedro alejandro diego sergio fernando pablo jorge alberto álvaro adrián raúl enrique
  vicente andrés joaquín rubén santiago víctor ramón ignacio gonzalo hernán gustavo rodrigo mateo tomás emilio esteban guillermo carmen josefa isabel ana dolores pilar
  teresa rosa cristina ángeles mercedes francisca lucía marta elena raquel manuela pilar beatriz nuria silvia rocío montserrat patricia concepción sofía valentina camila
  ximena guadalupe alejandra gabriela mariana fernanda paola daniela esperanza inés iñaki jordi xavier josep núria mireia
  pierre michel andré philippe alain jacques bernard gérard christian françois claude marcel rené guy yves thierry pascal olivier nicolas frédéric sébastien julien
  laurent stéphane antoine guillaume mathieu benoît étienne rémi loïc gaël aurélien françoise monique nathalie isabelle sylvie catherine martine véronique dominique
  brigitte valérie sandrine céline aurélie émilie camille chloé léa manon inès océane élodie amélie hélène geneviève jeannine
  giuseppe giovanni mario luigi antonio angelo vincenzo pietro salvatore carlo franco domenico bruno paolo michele giorgio aldo sergio luciano marco matteo alessandro
  lorenzo andrea davide simone federico riccardo stefano fabio claudio massimo roberto giulia francesca chiara sara martina silvia elisa alessia federica elena paola
  valentina giovanna rosa angela lucia teresa caterina daniela giuseppina
  jan piet kees hendrik cornelis johannes willem pieter gerrit jeroen sander bas maarten joost ruben daan sem lucas bram thijs wouter joris dirk henk frits anneke marieke
  femke sanne lotte fleur anouk maaike saskia ingeborg wilhelmina yvonne wim koen tijs gijs
  krzysztof piotr andrzej tomasz paweł jan michał marcin jakub adam stanisław marek grzegorz mateusz wojciech łukasz jerzy tadeusz zbigniew ryszard zygmunt józef
  katarzyna małgorzata agnieszka anna krystyna barbara ewa elżbieta zofia teresa magdalena joanna janina monika danuta jadwiga grażyna irena halina beata dorota
  joão antónio manuel luís pedro paulo tiago rui nuno vasco ricardo miguel hugo diogo gonçalo fábio márcio renato thiago otávio joaquim fernanda catarina
  inês beatriz leonor matilde mariana margarida teresa luísa conceição fátima graça lurdes aparecida
  александр сергей владимир андрей алексей дмитрий николай иван михаил евгений максим юрий виктор игорь олег павел анатолий константин борис григорий василий
  пётр леонид валерий вячеслав роман антон кирилл денис артём илья никита егор станислав геннадий фёдор семён лев яков георгий
  елена ольга наталья татьяна ирина светлана мария анна екатерина людмила галина анастасия юлия валентина нина марина оксана евгения надежда любовь вера
  лариса александра дарья полина ксения виктория алла тамара софья
  aleksandr sergei sergey vladimir andrei alexei alexey dmitry dmitri nikolai ivan mikhail evgeny yevgeny maxim yuri viktor igor oleg pavel anatoly konstantin boris grigory vasily
  yelena olga natalia natalya tatiana irina svetlana ekaterina lyudmila galina anastasia yulia oksana nadezhda
  hiroshi takashi kenji satoshi akira takeshi makoto kazuo yoshio hideo masao shigeru haruki daisuke kenta ryo shota yuki haruto sota ren hinata kaito yuto riku yoko keiko
  kazuko yumi naoko tomoko emi akiko yuko mariko sakura aoi hana misaki rin kaori megumi noriko ayumi chihiro haruka asuka
  wei fang jing ming hao lei qiang jun yang ping hui xin yu ling bo jie xiaoming xiaoli zhiwei guoqiang mei ying yan hong li na min jian chao
  min-jun seo-yeon ji-hoon hyun sung jae joon eun soo-jin kyung minho jihoon jiwoo seojun hana
  rajesh suresh ramesh mahesh ganesh sanjay vijay ajay anil sunil ashok vinod rakesh mukesh amit sumit rohit mohit ankit nikhil rahul arjun karthik vikram ravi
  srinivas venkat lakshmi priya anjali pooja neha deepika kavita sunita anita meera radha sita geeta shreya divya aishwarya sneha swati nandini kiran
  mohammed muhammad mohamed ahmed ahmad ali hassan hussein hussain omar umar khalid khaled ibrahim ismail yusuf youssef mustafa mahmoud karim tariq bilal hamza
  abdullah abdul abdulrahman fatima aisha khadija zainab maryam leila layla amina noor nour hana yasmin salma huda samira rania nadia
  oluwaseun oluwatobi chukwuemeka chinedu ikechukwu emeka ngozi chioma adaeze ifeoma nneka folake tunde babatunde segun kwame kofi kwasi ama akosua wanjiru
  wanjiku njeri kamau kipchoge otieno achieng thabo sipho themba nomsa zanele thandiwe mandla bongani tendai tafadzwa
  erik lars anders per karl gustav nils sven johan björn mikael henrik magnus fredrik mats håkan göran kjell leif ole knut arne odd håvard øyvind sigrid astrid
  ingrid karin birgitta margareta elisabeth anna eva linnéa elsa freja ebba saga søren jørgen mette kirsten pia lene hanne rikke
  jussi pekka juha matti timo kari mikko antti heikki jari ville eero aino helmi tuula päivi sari minna
  lászló istván józsef jános zoltán sándor gábor ferenc attila zsolt tamás balázs bence dániel márton erzsébet katalin ilona zsuzsanna ágnes zsófia
  jiří petr pavel martin tomáš jaroslav miroslav zdeněk václav františek ladislav milan karel marie jana eva hana lenka kateřina věra alena zuzana
  nikos giorgos yannis dimitris kostas vasilis panagiotis eleni katerina sofia georgia ioanna konstantinos
  mehmet mustafa ahmet ali hüseyin hasan ibrahim murat emre burak kemal cem can fatma ayşe emine hatice zeynep elif merve selin
  nguyễn minh tuấn hùng dũng thảo linh hương lan anh khánh khai phương thanh quang duc
  usain neymar ronaldo rivaldo zinedine didier eden romelu kylian luka dragan zoran goran nenad slobodan branislav milorad ivica davor
`);

export const COMMON_FAMILY_NAMES = list(`
  smith johnson williams brown jones garcia miller davis rodriguez martinez hernandez lopez gonzalez wilson anderson thomas taylor moore jackson martin lee perez thompson
  white harris sanchez clark ramirez lewis robinson walker young allen king wright scott torres nguyen hill flores green adams nelson baker hall rivera campbell mitchell
  carter roberts gomez phillips evans turner diaz parker cruz edwards collins reyes stewart morris morales murphy cook rogers gutierrez ortiz morgan cooper peterson bailey
  reed kelly howard ramos kim cox ward richardson watson brooks chavez wood james bennett gray mendoza ruiz hughes price alvarez castillo sanders patel myers long ross foster
  jimenez powell jenkins perry russell sullivan bell coleman butler henderson barnes gonzales fisher vasquez simmons romero jordan patterson alexander hamilton graham reynolds
  griffin wallace moreno west cole hayes bryant herrera gibson ellis tran medina aguilar stevens murray ford castro marshall owens harrison fernandez mcdonald woods washington
  kennedy wells vargas henry chen freeman webb tucker guzman burns crawford olson simpson porter hunter gordon mendez silva shaw snyder mason dixon munoz hunt hicks holmes
  palmer wagner black robertson boyd rose stone salazar fox warren mills meyer rice schmidt garza daniels ferguson nichols stephens soto weaver ryan gardner payne grant dunn
  kelley spencer hawkins arnold pierce hansen peters santos hart bradley knight elliott cunningham duncan armstrong hudson carroll lane riley andrews alvarado ray delgado
  berry perkins hoffman johnston matthews pena richards contreras willis carpenter lawrence sandoval guerrero george chapman rios estrada ortega watkins greene nunez wheeler
  valdez harper burke larson santiago maldonado morrison franklin carlson austin dominguez carr lawson jacobs obrien lynch singh vega bishop montgomery oliver jensen harvey
  williamson gilbert dean sims espinoza howell li wong reid hanson le mccoy garrett burton fuller wang weber welch rojas lucas marquez fields park yang little banks padilla day
  walsh bowman schultz luna fowler mejia davidson acosta brewer may holland juarez newman pearson curtis cortez douglas schneider joseph barrett navarro figueroa keller avila
  wade molina stanley hopkins campos barnett bates chambers caldwell beck lambert miranda byrd craig ayala lowe frazier powers neal leonard gregory carrillo sutton fleming
  rhodes shelton schwartz norris jennings rhodes watts duran walters cohen mcdaniel moran parks steele vaughn becker holt deleon barker terry hale leon hail benson haynes
  horton miles lyons pham graves bush thornton wolfe warner cabrera mckinney mann zimmerman dawson lara fletcher page mccarthy love robles cervantes solis erickson reeves chang
  klein salinas fuentes baldwin daniel simon velasquez hardy higgins aguirre lin cummings chandler sharp barber bowen ochoa dennis robbins liu ramsey francis griffith paul blair
  oconnor oneill oreilly osullivan obrien mcgregor mcallister macdonald mackenzie fitzgerald gallagher doherty kavanagh brennan quinn nolan whelan keane
  bond churchill newton darwin shakespeare dickens byron shelley keats wordsworth austen hemingway faulkner steinbeck fitzgerald joyce beckett wilde shaw orwell huxley
  lincoln jefferson roosevelt truman eisenhower nixon reagan clinton bush obama biden trump mccain kerry gore powell rumsfeld cheney blair thatcher cameron brexit
  müller schmidt schneider fischer meyer weber wagner becker schulz hoffmann schäfer bauer koch richter klein wolf schröder neumann schwarz zimmermann braun krüger hofmann
  hartmann lange schmitt werner krause meier lehmann schmid schulze maier köhler herrmann könig walter mayer huber kaiser fuchs peters lang scholz möller weiß jung hahn
  schubert vogel friedrich keller günther frank berger winkler roth beck lorenz baumann franke albrecht schuster simon ludwig böhm winter kraus martin schumacher krämer vogt
  stein jäger otto sommer groß seidel heinrich brandt haas schreiber graf schulte dietrich ziegler kuhn kühn pohl engel horn busch bergmann thomas voigt sauer arnold wolff
  pfeiffer schmidhuber hölderlin goethe schiller nietzsche kant hegel heidegger wittgenstein einstein planck heisenberg schrödinger gauß euler leibniz merkel kohl schröder
  steinmeier adenauer brandt honecker stalin lenin trotzki chruschtschow gorbatschow putin jelzin medwedew hitler göring goebbels himmler hindenburg bismarck
  wulff gauck lindner habeck baerbock laschet söder klopp löw klinsmann beckenbauer ballack podolski schweinsteiger neuer lahm kroos
  garcía martínez lópez sánchez gonzález rodríguez fernández pérez gómez jiménez díaz hernández muñoz álvarez romero alonso gutiérrez navarro torres domínguez vázquez
  ramos gil ramírez serrano blanco molina morales suárez ortega delgado castro ortiz rubio marín sanz núñez iglesias medina garrido cortés castillo santos lozano guerrero
  cano prieto méndez cruz calvo gallego vidal león márquez herrera peña flores cabrera campos vega fuentes carrasco diez caballero reyes nieto aguilar pascual santana
  herrero lorenzo montero hidalgo giménez ibáñez ferrer durán santiago benítez mora vicente vargas arias carmona crespo román pastor soto sáez velasco moya soler esteban parra
  bravo gallardo rojas pinochet aznar zapatero rajoy chávez maduro fujimori menem kirchner allende castro guevara batista borges cervantes lorca neruda
  dubois durand leroy moreau simon laurent lefebvre lefèvre roux fournier girard bonnet dupont fontaine rousseau faure mercier boyer blanchard gauthier perrin
  clement masson marchand duval denis dumont lemaire meunier gautier garnier chevalier robin morin noël renard gaillard benoit barbier arnaud chirac mitterrand
  sarkozy hollande macron jospin juppé fillon balladur giscard pompidou gaulle voltaire rousseau descartes pascal sartre camus flaubert balzac hugo zola proust
  baudelaire verlaine rimbaud molière racine corneille diderot montesquieu foucault derrida deleuze bourdieu napoleon
  rossi russo ferrari esposito bianchi romano colombo ricci marino greco bruno gallo conti costa giordano mancini rizzo lombardi moretti barbieri fontana mariani
  rinaldi caruso ferrara galli martini leone longo gentile martinelli vitale lombardo serra coppola marchetti parisi villa conte ferraro fabbri bianco marini grasso
  valentini messina berlusconi prodi andreotti craxi renzi mussolini garibaldi mazzini cavour dante petrarca boccaccio leopardi manzoni verdi puccini rossini vivaldi
  baggio maldini totti buffon cannavaro
  jong jansen vries bakker janssen visser meijer mulder bos vos peters hendriks dekker brouwer dijkstra smits kok jacobs haan vermeulen kuipers
  veenstra willems hoekstra koster hermans verhoeven postma martens bosman cruijff cruyff koeman bergkamp gullit rembrandt vermeer spinoza erasmus huygens balkenende rutte
  nowak kowalski kowalska wiśniewski wiśniewska wójcik kowalczyk kamiński kamińska lewandowski lewandowska zieliński szymański woźniak dąbrowski kozłowski jankowski
  mazur wojciechowski kwiatkowski krawczyk kaczmarek piotrowski grabowski zając pawłowski michalski król wieczorek jabłoński wróbel nowakowski majewski olszewski
  stępień malinowski jaworski adamczyk dudek nowicki pawlak górski witkowski walczak sikora baran rutkowski michalak szewczyk ostrowski tomaszewski pietrzak
  mickiewicz słowacki sienkiewicz chopin kopernik piłsudski wałęsa kaczyński tusk komorowski kwaśniewski
  silva santos ferreira pereira oliveira costa rodrigues martins sousa fernandes gonçalves gomes lopes marques alves almeida ribeiro pinto carvalho teixeira moreira
  correia mendes nunes soares vieira monteiro cardoso rocha neves coelho cruz cunha pires ramos reis simões antunes matos fonseca machado araújo barbosa tavares
  lourenço melo azevedo figueiredo barros freitas campos lula bolsonaro rousseff collor sarney cardoso vargas kubitschek saramago pessoa camões
  tanaka suzuki sato takahashi watanabe ito yamamoto nakamura kobayashi kato yoshida yamada sasaki yamaguchi matsumoto inoue kimura hayashi shimizu yamazaki mori abe
  ikeda hashimoto ishikawa ogawa okada goto hasegawa murakami kondo ishii saito sakamoto endo aoki fujii nishimura fukuda ota miura fujiwara okamoto matsuda tanabe
  wang li zhang liu chen yang huang zhao wu zhou xu sun zhu hu guo lin luo zheng liang xie tang deng feng cao peng zeng xiao tian dong yuan jiang cai lu
  kim lee park choi jung kang cho yoon jang lim han shin seo kwon hwang
  sharma verma gupta singh kumar patel shah mehta joshi desai reddy rao naidu nair menon iyer iyengar pillai chatterjee banerjee mukherjee das bose ghosh sen
  khan ahmed malik hussain iqbal chaudhry qureshi sheikh raghunathan krishnan subramanian narayanan srinivasan venkatesh gandhi nehru modi
  okonjo okafor okeke nwosu obi eze adeyemi adebayo ogunleye balogun mensah owusu boateng asante appiah mwangi kamau otieno odhiambo kariuki dlamini nkosi ndlovu
  zulu mokoena mandela mugabe zuma
  johansson andersson karlsson nilsson eriksson larsson olsson persson svensson gustafsson pettersson jonsson jansson hansson bengtsson lindberg lindqvist lindström
  hansen johansen olsen larsen andersen pedersen nilsen kristiansen jensen karlsen nielsen christensen rasmussen sørensen petersen madsen kjær øvergård
  korhonen virtanen mäkinen nieminen mäkelä hämäläinen laine heikkinen koskinen järvinen
  nagy kovács tóth szabó horváth varga kiss molnár németh farkas balogh papp takács juhász
  novák svoboda novotný dvořák černý procházka kučera veselý horák němec novotná svobodová
  papadopoulos georgiou yılmaz kaya demir şahin çelik yıldız öztürk aydın özdemir arslan doğan
  ivanov smirnov kuznetsov popov sokolov lebedev kozlov novikov morozov petrov volkov solovyov vasiliev zaitsev pavlov semyonov golubev vinogradov bogdanov
  dostoevsky tolstoy chekhov pushkin gogol turgenev bulgakov nabokov tchaikovsky rachmaninov stravinsky shostakovich prokofiev putin medvedev yeltsin gorbachev khrushchev
  haddad khoury mansour saleh nasser abdullah hassan hussein aziz rahman osman farah
`);
