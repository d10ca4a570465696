// Package conformance shows from outside, on the wire, that the gateway can be trusted:
// raw bytes in, and what a recording origin got of them. It has tests only, and they use
// the gateway as its binary does: a file of rules, a proxy, a listener.
//
// What a proxy on top of fasthttp can do wrong, and the tests that show that this one does
// not, here or elsewhere in this tree. The numbers are those of the hostile table's rows.
//
//	 1  an unread body is read as the next request:
//	    TestHostileTable; TestFasthttpIsNotOlder
//	 2  a dependency cannot be had:
//	    (go.mod's replace line; a build from an empty cache)
//	 3  want of descriptors ends the accept loop:
//	    TestAcceptOutlivesWant
//	 4  a panic ends the process:
//	    TestPanicAtEachGateLeavesNothingHeld, TestPanicsAreCounted
//	 5  too many connections are reset:
//	    TestCrowdOverTheBudgetIsAnswered, TestConnectionsFarOverTheBudgetAreClosed
//	 6  limits of an address count the wrong one:
//	    TestClientAddr, TestWhoIsCounted, TestWhoSharesACount
//	 7  one deadline for head and body:
//	    TestWaitsForTheClient, TestDrippingBodiesEnd; make slowhttptest
//	 8  answers nobody asked for:
//	    TestUnaskedTimeoutIsNeverAnswered, TestHeadThatDripsIsToldSo
//	 9  one deadline for the whole answer:
//	    TestSlowReaderGetsAllOfALargeAnswer; make slowhttptest
//	10  half a handshake:
//	    TestSlowBeginnersAreLetGo
//	11  two framings:
//	    TestHostileTable, FuzzConnection; make referees
//	12  what a lenient parser lets through:
//	    TestHostileTable, FuzzConnection, FuzzChunks, FuzzPlain; make referees
//	13  three hosts in one request:
//	    TestHostileTable, FuzzConnection
//	14  the path that is matched and the one that is sent:
//	    TestHostileTable, TestWaysAroundTheGates
//	15  a query that was looked at is sent otherwise:
//	    TestHostileTable
//	16  a cookie that was looked at deletes others:
//	    TestHostileTable
//	17  names of headers, their case and order:
//	    TestHostileTable, TestTrustedHopsAreKept
//	18  the last of two lines wins:
//	    TestHostileTable, TestAnswersByteForByte
//	19  multipart is written anew:
//	    TestHostileTable
//	20  headers that nobody sent:
//	    TestHostileTable, TestAnswersByteForByte
//	21  the body is asked for before the gates:
//	    TestExpectationIsMetWhenTheBodyIsWanted, TestBodyIsAskedForLate
//	22  limits of bodies; the page behind a large one:
//	    TestHostileTable, TestRefusalIsReadBehindALargeUpload
//	23  a request that was cut is made whole:
//	    TestRequestsCutAtEveryByte, TestLongUploadsCut
//	24  requests are sent again:
//	    TestAtMostOnce, TestEveryPageGoesToWhomItBelongs
//	25  connections that the origin has closed:
//	    TestOriginClosesIdle, TestOriginThatAlwaysCloses
//	26  somebody else's page:
//	    TestEveryPageGoesToWhomItBelongs, TestNobodyElsesPage
//	27  a lenient reader of answers:
//	    TestAnswersByteForByte, FuzzAnswer
//	28  an answer that was cut is made whole:
//	    TestAnswersCutAtEveryByte, TestOldClientsSeeACutAnswerAsCut
//	29  hop-by-hop headers:
//	    TestHostileTable, TestAnswersByteForByte, TestOriginThatAlwaysCloses
//	30  trailers:
//	    TestHostileTable, TestAnswersByteForByte
//	31  early answers are lost:
//	    TestEarlyAnswerIsHeard, TestEarlyAnswerWins
//	32  interim answers:
//	    TestAnswersByteForByte
//	33  answers are held back:
//	    TestPiecesComeThroughAtOnce
//	34  who waits for the origin:
//	    TestThoseWhoLeftAreNotServed, TestWaitEndsAndLosesNoSlot
//	35  dialling:
//	    TestNameMoves, TestSeveralAddresses, TestBlackHole, TestDeadPeers, TestPatience, TestUnixSocket
//	36  upgrades:
//	    TestWebSocket, TestWebSocketBreaks, TestWebSocketRefused, TestOtherUpgradesAreNot, TestDrainWebSockets
//	37  clients that leave:
//	    TestThoseWhoLeftAreNotServed, TestWhoLeavesGivesItsPlaceBack, TestSilentStreamEndsWithItsClient
//	38  shutdown:
//	    TestTermDrains, TestServerThatLeavesServesOnAndSaysSo
//	39  restarts:
//	    TestUpgradesOnEmbeddedStoreLoseNothing, TestUpgradesOnRedisLoseNothing, TestActivatedRestartsLoseNothing, TestTLSAndRestarts
//	40  prefork:
//	    (not used)
//	41  certificates that change:
//	    TestReloadedCertificate, TestCertificateFiles
//	42  memory of idle connections:
//	    TestIdleConnectionsAreParkedAndServedAgain
//	43  what the next request finds:
//	    TestEveryPageGoesToWhomItBelongs, TestAccountsOfOneRequestDoNotReachTheNext
//	44  clients' bytes in logs:
//	    (fasthttp's log is dropped: proxy.quiet)
//	45  a finished answer waits for the next:
//	    TestPipelineHoldsNothingBack, TestConnectionsDoNotLastForEver
//
// The scenarios of the standard library's own reverse proxy are accounted for in
// httputil_test.go.
package conformance
